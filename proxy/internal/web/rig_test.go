package web_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

// patience is how long anything may take that has no deadline of its own. Only
// a failing test waits for it.
const patience = 15 * time.Second

// from is where the clients of most tests come from.
var from = netip.MustParseAddrPort("192.0.2.1:1234")

// A rig is a Server between clients and an upstream, both of which the test
// plays by hand. When the test ends, every connection is wanted to be gone, once.
type rig struct {
	t       *testing.T
	server  *web.Server
	service *net.TCPListener // the upstream
	doors   *net.TCPListener // where the test's clients meet the connections that it serves
	log     lockedBuffer
	held    func(written []byte) // optional: holds the Server up after each of its writes to the upstream

	dials    atomic.Int64
	guests   atomic.Int64 // given to Serve
	gone     atomic.Int64
	handed   atomic.Int64
	counted  statuses
	upgrades chan upgraded
	stopped  bool // by the test itself
}

// upgraded is what was given to Config.Upgrade.
type upgraded struct {
	guest *web.Guest
	head  string
}

// statuses are what Config.Count was told.
type statuses struct {
	mu  sync.Mutex
	all []int
}

func (s *statuses) add(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, status)
}

// config is that of a Server with one upstream.
type config struct {
	web.Config
	upstream web.Upstream // without Dial
	dial     func(context.Context) (net.Conn, error)
	origin   web.Origin
}

// dialling returns the Dial of an Upstream.
func dialling(dial func(context.Context) (net.Conn, error), to web.Origin) func(context.Context) (net.Conn, web.Origin, error) {
	return func(ctx context.Context) (net.Conn, web.Origin, error) {
		conn, err := dial(ctx)
		return conn, to, err
	}
}

// theOrigin is where the tests' service answers.
var theOrigin = web.Origin{Authority: "upstream.example:80", Name: "ws://upstream.example:80", Address: "192.0.2.7:80"}

func newRig(t *testing.T, change func(*config)) *rig {
	t.Helper()
	r := &rig{t: t, service: listen(t), doors: listen(t), upgrades: make(chan upgraded, 1)}
	cfg := config{dial: r.dial, origin: theOrigin}
	cfg.Config = web.Config{
		Upstream:         func(*upgrade.Request, netip.Addr) web.Upstream { return cfg.upstream },
		Trust:            &forwarded.Trust{},
		HandshakeTimeout: patience,
		HTTPTimeout:      patience,
		MaxHeaderSize:    32 << 10,
		Log:              slog.New(slog.NewJSONHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Count:            r.counted.add,
		Upgrade:          r.upgrade,
		Gone:             func(*web.Guest) { r.gone.Add(1) },
	}
	if change != nil {
		change(&cfg)
	}
	cfg.upstream.Dial = dialling(cfg.dial, cfg.origin)
	r.server = web.New(cfg.Config)
	t.Cleanup(r.stop)
	return r
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { l.Close() })
	return l
}

func (r *rig) dial(ctx context.Context) (net.Conn, error) {
	r.dials.Add(1)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.service.Addr().String())
	if err != nil || r.held == nil {
		return conn, err
	}
	return heldUp{conn, r.held}, nil
}

// heldUp is a connection whose writer is held up after each write.
type heldUp struct {
	net.Conn
	after func(written []byte)
}

func (c heldUp) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.after(b[:n])
	return n, err
}

func (r *rig) upgrade(g *web.Guest, head []byte) {
	r.handed.Add(1)
	r.upgrades <- upgraded{g, string(head)}
}

// stop is the end of every test.
func (r *rig) stop() {
	if !r.stopped {
		if cut := r.shutdown(patience); cut != 0 {
			r.t.Errorf("Shutdown cut %d answers where there was none", cut)
		}
	}
	if gone, want := r.gone.Load(), r.guests.Load()-r.handed.Load(); gone != want {
		r.t.Errorf("%d connections are gone, want %d: each that was not handed over, once", gone, want)
	}
	if r.t.Failed() {
		r.t.Logf("the log:\n%s", r.log.String())
	}
}

// shutdown stops the Server and returns how many answers it had to cut.
func (r *rig) shutdown(limit time.Duration) int {
	r.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return r.server.Shutdown(ctx)
}

// opens has a client open a connection, of which early has been read when the
// Server gets it.
func (r *rig) opens(early string, change ...func(*web.Guest)) *peer {
	r.t.Helper()
	client, g := r.guest(early, change...)
	r.guests.Add(1)
	r.server.Serve(g)
	return client
}

func (r *rig) guest(early string, change ...func(*web.Guest)) (*peer, *web.Guest) {
	r.t.Helper()
	client, err := net.Dial("tcp", r.doors.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := r.doors.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	g := &web.Guest{Conn: conn, Early: []byte(early), From: from}
	for _, c := range change {
		c(g)
	}
	return newPeer(r.t, "client", client), g
}

// accepts is the upstream's end of a new connection.
func (r *rig) accepts() *peer {
	r.t.Helper()
	conn, err := r.service.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	return newPeer(r.t, "upstream", conn)
}

// wantsUpgrade waits for a connection that is handed over.
func (r *rig) wantsUpgrade() upgraded {
	r.t.Helper()
	select {
	case u := <-r.upgrades:
		r.t.Cleanup(func() { u.guest.Close() })
		return u
	case <-time.After(patience):
		r.t.Fatal("no connection was handed over")
		panic("unreachable")
	}
}

// wantsCounted stops the Server, since only then all is counted, and compares.
func (r *rig) wantsCounted(want ...int) {
	r.t.Helper()
	r.shutdown(patience)
	if !slices.Equal(r.counted.all, want) {
		r.t.Errorf("answers %v were counted, want %v", r.counted.all, want)
	}
}

// wantsNoDials wants the upstream to have been left alone.
func (r *rig) wantsNoDials() {
	r.t.Helper()
	if n := r.dials.Load(); n != 0 {
		r.t.Errorf("the upstream was dialed %d times for what must not reach it", n)
	}
}

// logs reports whether there is a line of the level.
func (r *rig) logs(level string) bool {
	return strings.Contains(r.log.String(), `"level":"`+level+`"`)
}

// warnings are the messages that an operator is to look after. The Server must
// be stopped.
func (r *rig) warnings() (lines []string) {
	for line := range strings.Lines(r.log.String()) {
		if !strings.Contains(line, `"level":"DEBUG"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// A peer is one end of a connection.
type peer struct {
	t    *testing.T
	name string // client or upstream
	conn net.Conn
	in   *bufio.Reader
}

func newPeer(t *testing.T, name string, conn net.Conn) *peer {
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &peer{t: t, name: name, conn: conn, in: bufio.NewReader(conn)}
}

func (p *peer) sends(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, s); err != nil {
		p.t.Fatalf("the %s sends: %v", p.name, err)
	}
}

// wants reads exactly these bytes.
func (p *peer) wants(why, want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p.in, got); err != nil || string(got) != want {
		p.t.Fatalf("%s: the %s wants\n%q\ngot\n%q (%v)", why, p.name, want, got[:n], err)
	}
}

// wantsHead reads a head, the blank line included.
func (p *peer) wantsHead() string {
	p.t.Helper()
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := p.in.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			p.t.Fatalf("the %s wants a head, got %q, %v", p.name, head.String(), err)
		}
	}
	return head.String()
}

// wantsEnd wants the other end's FIN and not a byte before it.
func (p *peer) wantsEnd(why string) {
	p.t.Helper()
	if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
		p.t.Fatalf("%s: the %s wants the end, got %q, %v", why, p.name, rest, err)
	}
}

// wantsCutOff wants the connection to end, by a reset if need be.
func (p *peer) wantsCutOff(why string) {
	p.t.Helper()
	got, err := p.in.ReadByte()
	if err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("%s: the %s wants to be cut off, got %q, %v", why, p.name, got, err)
	}
}

// wantsCut wants the connection to end without the answer being whole.
func (p *peer) wantsCut(why string, answer *http.Response) {
	p.t.Helper()
	if got, err := io.ReadAll(answer.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		p.t.Fatalf("%s: the %s wants a cut, got %q, %v", why, p.name, got, err)
	}
}

// begins reads an answer's head; interim answers come first, one at a time.
func (p *peer) begins(method string) *http.Response {
	p.t.Helper()
	answer, err := http.ReadResponse(p.in, &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("the %s wants an answer: %v", p.name, err)
	}
	return answer
}

// wantsAnswer reads an answer to a GET, whole.
func (p *peer) wantsAnswer(why string, status int) (answer *http.Response, body string) {
	p.t.Helper()
	answer = p.begins(http.MethodGet)
	all, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		p.t.Fatalf("%s: the %s wants a whole %d, got %d %q, %v", why, p.name, status, answer.StatusCode, all, err)
	}
	return answer, string(all)
}

func (p *peer) hangsUp() { p.conn.Close() }

// lockedBuffer is a log that goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
