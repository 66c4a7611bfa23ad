package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
)

// moment is how long a peer listens for what must not come. Too short a moment
// can hide a fault, but never makes one up.
const moment = 30 * time.Millisecond

// A peer is one end of a session, on a TCP connection, or on one with TLS.
type peer struct {
	t    *testing.T
	name string // client or upstream
	conn stream
	in   *bufio.Reader
}

// A stream is a connection whose one direction can be ended.
type stream interface {
	net.Conn
	CloseWrite() error
}

func newPeer(t *testing.T, name string, conn stream) *peer {
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	return &peer{t: t, name: name, conn: conn, in: bufio.NewReader(conn)}
}

// masks says whether this peer's frames must be masked (RFC 6455 5.1).
func (p *peer) masks() bool { return p.name == "client" }

func (p *peer) sendsString(s string) { p.t.Helper(); p.sendsBytes([]byte(s)) }

func (p *peer) sendsBytes(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("%s sends: %v", p.name, err)
	}
}

// sends writes the frames with one write.
func (p *peer) sends(frames ...wire.Frame) {
	p.t.Helper()
	p.sendsBytes(wire.Encode(p.masks(), frames...))
}

// wants reads these frames and no others.
func (p *peer) wants(why string, frames ...wire.Frame) {
	p.t.Helper()
	for _, want := range frames {
		got, err := p.reads()
		if err != nil {
			p.t.Fatalf("%s: the %s wants %v, got %v", why, p.name, want, err)
		}
		if got != want {
			p.t.Fatalf("%s: the %s wants %v, got %v", why, p.name, want, got)
		}
	}
}

// wantsLatest reads frames that answer others: the last of those wanted, and before
// it any of them in their order. How many came by one read of the proxy's, and
// so are answered once, is the kernel's to say.
func (p *peer) wantsLatest(why string, frames ...wire.Frame) {
	p.t.Helper()
	for len(frames) > 0 {
		got, err := p.reads()
		at := slices.Index(frames, got)
		if err != nil || at < 0 {
			p.t.Fatalf("%s: the %s wants one of %v, got %v, %v", why, p.name, frames, got, err)
		}
		frames = frames[at+1:]
	}
}

// wantsClose reads a Close of that code and returns its reason.
func (p *peer) wantsClose(why string, code int) (reason string) {
	p.t.Helper()
	got, err := p.reads()
	if err != nil || got.Op != ws.OpClose {
		p.t.Fatalf("%s: the %s wants a Close %d, got %v, %v", why, p.name, code, got, err)
	}
	if got.Code() != code {
		p.t.Fatalf("%s: the %s wants a Close %d, got %v", why, p.name, code, got)
	}
	return got.Reason()
}

// wantsPing reads one ping and returns the pong that answers it.
func (p *peer) wantsPing(why string) (pong wire.Frame) {
	p.t.Helper()
	got, err := p.reads()
	if err != nil || got.Op != ws.OpPing {
		p.t.Fatalf("%s: the %s wants a ping, got %v, %v", why, p.name, got, err)
	}
	got.Op = ws.OpPong
	return got
}

// wantsBytes reads exactly these bytes, so that even mask keys are compared.
func (p *peer) wantsBytes(why string, want []byte) {
	p.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p.in, got); err != nil || !bytes.Equal(got, want) {
		at := mismatch(got[:n], want)
		p.t.Fatalf("%s: the %s got %d of %d bytes (%v), which differ at %d", why, p.name, n, len(want), err, at)
	}
}

func mismatch(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// wantsNothing listens for a moment.
func (p *peer) wantsNothing(why string) {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(moment))
	b, err := p.in.Peek(1)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("%s: the %s wants to hear nothing, got %q, %v", why, p.name, b, err)
	}
	_ = p.conn.SetReadDeadline(time.Now().Add(2 * patience))
}

// wantsEnd wants the other end's FIN and not a byte before it.
func (p *peer) wantsEnd(why string) {
	p.t.Helper()
	if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
		p.t.Fatalf("%s: the %s wants the end of its TCP, got %.200q, %v", why, p.name, rest, err)
	}
}

// wantsCut wants the connection's end, by FIN or RST, and not a byte before it.
func (p *peer) wantsCut(why string) {
	p.t.Helper()
	rest, err := io.ReadAll(p.in)
	if len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("%s: the %s wants to be cut, got %.200q, %v", why, p.name, rest, err)
	}
}

// hangsUp closes the connection: a FIN, if nothing was left unread.
func (p *peer) hangsUp() { p.conn.Close() }

// resets closes the connection with a RST.
func (p *peer) resets() {
	_ = p.tcp().SetLinger(0)
	p.tcp().Close()
}

// tcp is the connection under TLS, if there is that.
func (p *peer) tcp() *net.TCPConn {
	if secured, ok := p.conn.(*tls.Conn); ok {
		return secured.NetConn().(*net.TCPConn)
	}
	return p.conn.(*net.TCPConn)
}

// finishes ends this peer's direction and wants the end of the other one.
func (p *peer) finishes(why string) {
	p.t.Helper()
	if err := p.conn.CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		p.t.Fatalf("%s: %s: %v", why, p.name, err)
	}
	p.wantsEnd(why)
	p.conn.Close()
}

// reads reads one frame. The proxy masks what goes to an upstream (RFC 6455 5.1).
func (p *peer) reads() (wire.Frame, error) { return wire.Read(p.in, !p.masks()) }

// wantsHead reads a whole head and not a byte more.
func (p *peer) wantsHead() string {
	p.t.Helper()
	var b strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			p.t.Fatalf("the %s wants a head, got %q, %v", p.name, b.String(), err)
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

func (p *peer) wantsRequest() *http.Request {
	p.t.Helper()
	raw := p.wantsHead()
	r, err := wire.ParseRequest(raw)
	if err != nil {
		p.t.Fatalf("the upstream got no request: %v: %q", err, raw)
	}
	return r
}

// wantsSwitch reads the 101 and checks it as a client must (RFC 6455 4.1).
func (p *peer) wantsSwitch() *http.Response {
	p.t.Helper()
	r, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.t.Fatalf("the client wants a 101, got %v", err)
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(r.Body)
		p.t.Fatalf("the client wants a 101, got %s: %s", r.Status, body)
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") ||
		!strings.EqualFold(r.Header.Get("Connection"), "upgrade") ||
		r.Header.Get("Sec-WebSocket-Accept") != wire.Accept(wire.Key) {
		p.t.Fatalf("the client wants a right 101, got %v", r.Header)
	}
	return r
}

// wantsRefusal reads an answer of one of the statuses, its whole body, and then the end of
// the connection. A 503 of the proxy says when to come again.
func (p *peer) wantsRefusal(why string, statuses ...int) (_ *http.Response, body string) {
	p.t.Helper()
	r, err := http.ReadResponse(p.in, &http.Request{Method: http.MethodGet})
	if err != nil {
		p.t.Fatalf("%s: the client wants a %v, got %v", why, statuses, err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatalf("%s: the body ends with %v after %.200q", why, err, b)
	}
	right := false
	for _, status := range statuses {
		right = right || status == r.StatusCode
	}
	if !right {
		p.t.Fatalf("%s: the client wants a %v, got %s: %.200q", why, statuses, r.Status, b)
	}
	if r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "" {
		p.t.Errorf("%s: the 503 does not say when to come again: %v", why, r.Header)
	}
	p.wantsEnd(why)
	return r, string(b)
}

// wantsStatus reads an answer whole.
func (p *peer) wantsStatus(why string, status int) *http.Response {
	p.t.Helper()
	answer, err := http.ReadResponse(p.in, &http.Request{Method: http.MethodGet})
	if err != nil {
		p.t.Fatalf("%s: the client wants a %d, got %v", why, status, err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != status {
		p.t.Fatalf("%s: the client wants a %d, got %d, %v", why, status, answer.StatusCode, err)
	}
	return answer
}
