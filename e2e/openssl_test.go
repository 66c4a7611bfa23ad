//go:build e2e

package e2e

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/blackbox"
)

// tlsSession is a session spoken by hand through openssl's s_client, which does
// to the TLS under it what no library lets one do.
type tlsSession struct {
	*blackbox.Process
	in  io.Writer
	out *bufio.Reader
}

func startTLSSession(t *testing.T, proxy *holdfast, args ...string) *tlsSession {
	t.Helper()
	// Brief: stdout has the peer's bytes alone, and letters on stdin are still commands.
	cmd := exec.Command(tool(t, "openssl"), append([]string{"s_client", "-brief", "-connect", proxy.address()}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	if err := out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = stdout
	s := &tlsSession{Process: start(t, "s_client", cmd), in: in, out: bufio.NewReader(out)}
	stdout.Close()
	return s
}

// handshake is the one of RFC 6455, section 1.3, for a path.
func handshake(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: service.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

// upgrades opens the session at a path.
func (s *tlsSession) upgrades(path string) {
	s.T.Helper()
	s.says(handshake(path))
	s.wantsAnswer(101)
}

// wantsAnswer reads an answer with its body.
func (s *tlsSession) wantsAnswer(status int) {
	s.T.Helper()
	response, err := http.ReadResponse(s.out, nil)
	if err != nil {
		s.T.Fatal(err)
	}
	bodyOf(s.T, response)
	if response.StatusCode != status {
		s.T.Fatalf("answered with %d, want %d", response.StatusCode, status)
	}
}

func (s *tlsSession) says(bytes string) {
	s.T.Helper()
	if _, err := io.WriteString(s.in, bytes); err != nil {
		s.T.Fatal(err)
	}
}

// presses a command letter, and waits until openssl has understood it. Nothing may
// be on its way: a letter is a command only at the beginning of what openssl reads.
func (s *tlsSession) presses(letter, understood string) {
	s.T.Helper()
	before := strings.Count(s.Stderr.String(), understood)
	s.says(letter + "\n")
	s.Until("openssl to tell "+understood, func() bool {
		return strings.Count(s.Stderr.String(), understood) > before
	})
}

func (s *tlsSession) sends(f ws.Frame) {
	s.T.Helper()
	s.says(string(ws.MustCompileFrame(ws.MaskFrame(f))))
}

// wants frames up to the first of that opcode, answers the pings before it, and
// returns its payload.
func (s *tlsSession) wants(opcode ws.OpCode) []byte {
	s.T.Helper()
	for {
		header, payload, err := s.readFrame()
		if err != nil {
			s.T.Fatalf("waiting for opcode %d: %v", opcode, err)
		}
		if header.OpCode == ws.OpPing {
			s.sends(ws.NewPongFrame(payload))
		}
		if header.OpCode == opcode {
			return payload
		}
	}
}

func (s *tlsSession) readFrame() (ws.Header, []byte, error) {
	header, err := ws.ReadHeader(s.out)
	if err != nil {
		return header, nil, err
	}
	payload := make([]byte, header.Length)
	_, err = io.ReadFull(s.out, payload)
	return header, payload, err
}

func (s *tlsSession) echoes(text string) {
	s.T.Helper()
	s.sends(ws.NewTextFrame([]byte(text)))
	if got := s.wants(ws.OpText); string(got) != text {
		s.T.Errorf("the echo of %q is %q", text, got)
	}
}

// Either side may change its key at any time (RFC 8446, section 4.6.3).
func TestKeyUpdate(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, append(ca.issues("127.0.0.1").served(), frequentPings...)...)
	client := startTLSSession(t, proxy, "-tls1_3")
	client.upgrades("/a")
	client.echoes("before")

	// K asks the proxy for a new key of its own, k does not.
	for _, letter := range []string{"K", "k", "k", "K"} {
		client.presses(letter, "KEYUPDATE")
		client.echoes("after " + letter)
		client.wants(ws.OpPing)
		client.echoes("after a ping")
	}
	before := proxy.Metric(blackbox.OfSide("holdfast_pongs_received_total", "client"))
	client.wants(ws.OpPing)
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), before+1)

	client.sends(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "done")))
	client.wants(ws.OpClose)
	server.wantsClosed("a", 1000, "done")
	proxy.wantsMetric(blackbox.Closed("client"), 1)
}

// A client that wants to renegotiate TLS 1.2 is given up, and nobody else.
func TestRenegotiation(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, ca.issues("127.0.0.1").served()...)
	other := startClient(t, node)
	other.connects(proxy.url, command{ID: "other", TLS: &peerTLS{CA: ca.file, Version: "TLSv1.2"}})
	client := startTLSSession(t, proxy, "-tls1_2")
	client.upgrades("/a")
	client.echoes("before")
	server.wants("open", "a")

	client.says("R\n")
	client.WantsEnd()
	if said := client.Stderr.String(); !strings.Contains(said, "RENEGOTIATING") {
		t.Errorf("openssl does not try:\n%s", said)
	}
	if e := server.wants("closed", "a"); e.Code != 1001 {
		t.Errorf("the server is told %d %q, want 1001", e.Code, e.Reason)
	}
	proxy.wantsMetric(blackbox.Dropped("client", "io_error"), 1)
	proxy.wantsMetric("holdfast_sessions_dropped_total", 1)
	other.echoes("other", hello)
	proxy.wantsMetric("holdfast_sessions_active", 1)
}

// A page and a session on one TLS connection, written at once.
func TestUpgradeRightBehindAPlainRequest(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, ca.issues("127.0.0.1").served()...)
	client := startTLSSession(t, proxy, "-alpn", "http/1.1")
	client.says("GET /page HTTP/1.1\r\nHost: service.example\r\n\r\n" + handshake("/a"))
	server.wants("request", "page")
	server.wants("open", "a")
	client.wantsAnswer(200)
	client.wantsAnswer(101)
	client.echoes("hello")
	proxy.wantsMetric("holdfast_sessions_active", 1)
}
