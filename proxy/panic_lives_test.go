package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/secure"
	"holdfast/proxy/internal/socket"
)

// A timing is when a call of the kernel panics.
type timing string

const (
	before timing = "before" // nothing was done
	after  timing = "after"  // all was done, and nobody knows
	always timing = "always" // before, and at every later call for the same connection
)

// A panicking kernel is an invented one whose n-th call panics.
type panicking struct {
	*invented
	at     timing
	left   int                            // calls until one panics
	armed  bool                           // calls are counted
	stuck  func(kind string, fd int) bool // says of later calls whether they panic
	spared int                            // the descriptors up to this one have no call that panics
	calls  int
	panics int
	kinds  map[string]bool // the calls that were counted
}

// call makes a call for a descriptor, or panics.
func (k *panicking) call(kind string, fd int, do func()) {
	if !k.armed || fd > 0 && fd <= k.spared {
		do()
		return
	}
	k.calls++
	k.left--
	k.kinds[kind] = true
	breaks := k.left == 0 || k.stuck != nil && k.stuck(kind, fd)
	if k.left == 0 && k.at == always {
		k.stuck = func(otherKind string, otherFD int) bool {
			return otherFD == fd && (fd > 0 || otherKind == kind)
		}
	}
	hands := kind == "Accept" || kind == "Connect" // it cannot hand over what it has made
	ends := kind == "Close" || kind == "Detach"    // it closes the descriptor, see transport
	if !breaks || ends || k.at == after && !hands {
		do()
	}
	if breaks {
		k.panics++
		panic("invented panic in " + kind)
	}
}

func (k *panicking) Add(fd int, t epoll.Token, want epoll.Ready) (err error) {
	k.call("Add", fd, func() { err = k.invented.Add(fd, t, want) })
	return err
}

func (k *panicking) Modify(fd int, t epoll.Token, want epoll.Ready) (err error) {
	k.call("Modify", fd, func() { err = k.invented.Modify(fd, t, want) })
	return err
}

func (k *panicking) Remove(fd int) (err error) {
	k.call("Remove", fd, func() { err = k.invented.Remove(fd) })
	return err
}

func (k *panicking) Accept(fd int, shared bool) (conn transport, from netip.AddrPort, err error) {
	k.call("Accept", fd, func() { conn, from, err = k.invented.Accept(fd, shared) })
	if err != nil {
		return nil, from, err
	}
	return &panickingSocket{conn.(*inventedSocket), k}, from, nil
}

func (k *panicking) Connect(to socket.Endpoint) (conn transport, err error) {
	k.call("Connect", 0, func() { conn, err = k.invented.Connect(to) })
	if err != nil {
		return nil, err
	}
	return &panickingSocket{conn.(*inventedSocket), k}, nil
}

func (k *panicking) ServeTLS(conn transport, _ []byte, _ *tls.Config) (with secured) {
	k.call("ServeTLS", conn.FD(), func() { with = panickingTLS{conn.(*panickingSocket)} })
	return with
}

func (k *panicking) AskTLS(conn transport, _ *tls.Config) (with secured) {
	k.call("AskTLS", conn.FD(), func() { with = panickingTLS{conn.(*panickingSocket)} })
	return with
}

// A panickingSocket is a connection of a panicking kernel.
type panickingSocket struct {
	*inventedSocket
	k *panicking
}

func (s *panickingSocket) Read(b []byte, most int) (n int, err error) {
	s.k.call("Read", s.fd, func() { n, err = s.inventedSocket.Read(b, most) })
	return n, err
}

func (s *panickingSocket) Write(b []byte) (n int, err error) {
	s.k.call("Write", s.fd, func() { n, err = s.inventedSocket.Write(b) })
	return n, err
}

func (s *panickingSocket) WriteLast(b []byte) (n int, err error) {
	s.k.call("WriteLast", s.fd, func() { n, err = s.inventedSocket.WriteLast(b) })
	return n, err
}

func (s *panickingSocket) CloseWrite() (err error) {
	s.k.call("CloseWrite", s.fd, func() { err = s.inventedSocket.CloseWrite() })
	return err
}

func (s *panickingSocket) Close() (err error) {
	s.k.call("Close", s.fd, func() { err = s.inventedSocket.Close() })
	return err
}

func (s *panickingSocket) Detach() (conn net.Conn, err error) {
	s.k.call("Detach", s.fd, func() { conn, err = s.inventedSocket.Detach() })
	return conn, err
}

func (s *panickingSocket) Position(taken uint64) (at int64) {
	s.k.call("Position", s.fd, func() { at = s.inventedSocket.Position(taken) })
	return at
}

func (s *panickingSocket) Unacked() (n int) {
	s.k.call("Unacked", s.fd, func() { n = s.inventedSocket.Unacked() })
	return n
}

func (s *panickingSocket) Unsent() (n int) {
	s.k.call("Unsent", s.fd, func() { n = s.inventedSocket.Unsent() })
	return n
}

func (s *panickingSocket) Unread() (n int) {
	s.k.call("Unread", s.fd, func() { n = s.inventedSocket.Unread() })
	return n
}

func (s *panickingSocket) LastACKs() (acks socket.ACKs) {
	s.k.call("LastACKs", s.fd, func() { acks = socket.ACKs{RTT: time.Minute} }) // so long that the loop calls Unlimit
	return acks
}

func (s *panickingSocket) Unlimit() { s.k.call("Unlimit", s.fd, func() {}) }
func (s *panickingSocket) Outlast() { s.k.call("Outlast", s.fd, func() {}) }

func (s *panickingSocket) Connected() (err error) {
	s.k.call("Connected", s.fd, func() { err = s.inventedSocket.Connected() })
	return err
}

// panickingTLS is a connection with TLS that changes nothing on the wire.
type panickingTLS struct{ *panickingSocket }

func (s panickingTLS) Handshake(time.Time) error {
	made := false
	defer func() {
		if !made {
			_ = s.inventedSocket.Close() // as secured wants it
		}
	}()
	s.k.call("Handshake", s.fd, func() {})
	made = true
	return nil
}

func (s panickingTLS) Abort()                { s.k.call("Abort", s.fd, func() {}) }
func (s panickingTLS) Adopt(*secure.Scratch) { s.k.call("Adopt", s.fd, func() {}) }

// A brokenWorld is an invented world whose kernel panics, with what it logs.
type brokenWorld struct {
	*inventedWorld
	k    *panicking
	log  bytes.Buffer
	idle []func() // jobs beside the loop, which run runs
	slow bool     // they take longer than anybody waits
}

func newBrokenWorld(t *testing.T, change func(*Config)) *brokenWorld {
	b := new(brokenWorld)
	b.inventedWorld = newInventedWorldBeside(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&b.log, nil))
		if change != nil {
			change(c)
		}
	}, func(job func()) { b.idle = append(b.idle, job) })
	b.mayPanic = true
	b.beside = b.jobs
	b.k = &panicking{invented: b.kernel, kinds: map[string]bool{}}
	b.l.kernel = b.k
	return b
}

// jobs runs what waits beside the loop, and reports whether there was anything.
func (b *brokenWorld) jobs() bool {
	if b.slow {
		return false
	}
	jobs := b.idle
	b.idle = nil
	for _, job := range jobs {
		job()
	}
	return len(jobs) > 0
}

// withTLS is a configuration with TLS on both sides.
func withTLS(c *Config) {
	c.TLS = &tls.Config{}
	c.Upstreams[0].URL = &url.URL{Scheme: "wss", Host: "127.0.0.1:1"}
	c.Upstreams[0].TLS = func() *tls.Config { return &tls.Config{} }
}

// hello begins what a client with TLS sends: a record with one byte.
const hello = "\x16\x03\x01\x00\x01\x00"

// begins is what a client sends before its request.
func (b *brokenWorld) begins() string {
	if b.l.cfg.TLS != nil {
		return hello
	}
	return ""
}

// attends opens a session while nothing panics.
func (b *brokenWorld) attends() (c, u *farPeer) {
	armed := b.k.armed
	b.k.armed = false
	defer func() { b.k.armed = armed }()
	c = b.dials()
	c.sendsString(b.begins())
	c.sendsString(wire.Request())
	u = b.accepts()
	asked, err := wire.ParseRequest(u.told())
	if err != nil {
		b.t.Fatal(err)
	}
	u.sendsString(wire.Answer(asked))
	if got := c.told(); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		b.t.Fatalf("the client is told %q", got)
	}
	return c, u
}

// echo checks that frames pass in both directions, and answers what pings have come.
func (b *brokenWorld) echo(c, u *farPeer) {
	b.t.Helper()
	c.pongs()
	u.pongs()
	c.sends(wire.Text("to the service"))
	u.wants("the session has nothing to do with the panic", wire.Text("to the service"))
	u.sends(wire.Text("to the client"))
	c.wants("the session has nothing to do with the panic", wire.Text("to the client"))
}

// pongs answers the pings that have come. There is nothing else.
func (p *farPeer) pongs() {
	p.w.t.Helper()
	for _, f := range p.frames() {
		p.sends(wire.Pong(f.Payload))
	}
}

// lives lets clients of all kinds live while the kernel panics. What they are told
// depends on which call does.
func (b *brokenWorld) lives(other, service *farPeer) {
	b.k.armed, b.k.spared = true, b.kernel.next
	early := b.dials()
	b.slow = true
	early.tries(b.begins())
	b.waits(11*time.Second, other, service) // with TLS, the handshake is given up
	b.slow = false
	page, wrong, leaves, asks := b.dials(), b.dials(), b.dials(), b.dials()
	for _, c := range []*farPeer{page, wrong, leaves, asks} {
		c.tries(b.begins())
	}
	page.tries("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	wrong.tries("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	leaves.tries(wire.Request())
	if len(b.kernel.dialled) > 0 {
		b.accepts().tries("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	}
	asks.tries(wire.Request())
	for len(b.kernel.dialled) > 0 {
		u := b.accepts()
		if asked, err := wire.ParseRequest(u.told()); err == nil {
			u.tries(wire.Answer(asked))
		}
		asks.told()
		asks.tries(string(wire.Encode(true, wire.Text("a"), wire.Ping("b"))))
		u.tries(string(wire.Encode(false, wire.Ping("c"), wire.Text("d"))))
		b.waits(37*time.Second, other, service) // pings to both, and a look for the pongs that are owed
		asks.told()
		u.tries(string(wire.Encode(false, wire.Binary(strings.Repeat("z", 2*room))))) // more than the client's socket takes
		b.waits(31*time.Second, other, service)
		asks.told()
		u.tries(string(wire.Encode(false, wire.Close(1000, ""))))
		asks.told()
		asks.tries(string(wire.Encode(true, wire.Close(1000, ""))))
		u.hangsUp()
	}
	for _, c := range []*farPeer{early, page, wrong, leaves, asks} {
		c.hangsUp()
	}
	b.hangsUp()
	b.waits(time.Minute, other, service)
	b.k.armed = false
	b.waits(time.Second, other, service) // accepting may rest
	b.hangsUp()
}

// hangsUp closes the connections to the upstream that nobody has taken: a panic may delay
// clients, so that they come to the loop when they have left.
func (b *brokenWorld) hangsUp() {
	for len(b.kernel.dialled) > 0 {
		b.accepts().hangsUp()
	}
}

// waits lets time pass while the peers of another session answer their pings.
func (b *brokenWorld) waits(d time.Duration, other ...*farPeer) {
	const often = 9 * time.Second
	for ; d > 0; d -= often {
		b.pass(min(d, often))
		for _, p := range other {
			p.pongs()
		}
	}
}

// balanced checks that nothing but so many sessions is left, and that all counts say so.
func (b *brokenWorld) balanced(sessions int) {
	b.t.Helper()
	if b.l.faults.broken != nil {
		b.t.Fatalf("the loop is broken: %v", b.l.faults.broken)
	}
	held, err := b.l.auditAll(nil)
	if err != nil {
		b.t.Error(err)
	}
	if held.descriptors != len(b.kernel.sockets) || held.sessions != sessions {
		b.t.Errorf("%d sockets are left, and the loop has %d for %d sessions; want %d sessions",
			len(b.kernel.sockets), held.descriptors, held.sessions, sessions)
	}
	if clients, counted := b.server.live.Load(), b.l.sessions.Load(); clients != int64(sessions) || counted != int64(sessions) {
		b.t.Errorf("%d clients and %d sessions are counted, want %d", clients, counted, sessions)
	}
	for _, at := range []*queue{b.l.tlsQueue, b.l.queueOfOne()} {
		if at.places != at.size {
			b.t.Errorf("%d of %d places are free", at.places, at.size)
		}
	}
	if guests := b.server.guests.Load(); guests != 0 {
		b.t.Errorf("%d pages are counted", guests)
	}
	got := fixture.Counted(b.t, b.server.cfg.Metrics.Registry())
	ended := 0.0
	for name, n := range got {
		if strings.HasPrefix(name, "sessions_dropped_total") || strings.HasPrefix(name, "sessions_closed_total") {
			ended += n
		}
	}
	if got["sessions_opened_total"] != ended+float64(sessions) || got["sessions_active"] != float64(sessions) {
		b.t.Errorf("%v sessions were opened, %v have ended and %v are active, want %d to be left",
			got["sessions_opened_total"], ended, got["sessions_active"], sessions)
	}
	if n := got["panics_total"]; n != float64(b.k.panics) {
		b.t.Errorf("%v panics are counted, and there were %d", n, b.k.panics)
	}
}

// stacks is how many panics the log has.
func (b *brokenWorld) stacks() int { return strings.Count(b.log.String(), "msg=panic ") }

// Whatever call of the kernel panics, and whenever it does, the sessions that have nothing
// to do with it go on, nothing is left behind, and the log has one stack.
func TestKernelPanics(t *testing.T) {
	kinds := map[string]bool{}
	for name, change := range map[string]func(*Config){"plain": nil, "TLS": withTLS} {
		whole := newBrokenWorld(t, change)
		whole.lives(whole.attends())
		whole.balanced(1)
		maps.Copy(kinds, whole.k.kinds)
		for _, at := range []timing{before, after, always} {
			t.Run(fmt.Sprint(name, "/", at), func(t *testing.T) {
				for n := 1; n <= whole.k.calls; n++ {
					kernelPanics(t, change, at, n)
				}
			})
		}
	}
	all := []string{"Abort", "Accept", "Add", "Adopt", "AskTLS", "Close", "CloseWrite", "Connect", "Connected", "Detach",
		"Handshake", "LastACKs", "Modify", "Outlast", "Position", "Read", "Remove", "ServeTLS", "Unacked", "Unlimit",
		"Unread", "Unsent", "Write", "WriteLast"}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, all) {
		t.Errorf("the calls that panic are %v, want %v", got, all)
	}
}

// kernelPanics lets the n-th call panic.
func kernelPanics(t *testing.T, change func(*Config), at timing, n int) {
	b := newBrokenWorld(t, change)
	defer func() {
		if t.Failed() {
			t.Fatalf("that was call %d; the log:\n%s", n, b.log.String())
		}
	}()
	other, service := b.attends()
	b.k.at, b.k.left = at, n
	b.lives(other, service)
	b.echo(other, service)
	b.balanced(1)
	if got := b.stacks(); got != 1 || b.k.panics == 0 || b.k.panics > 1 && at != always {
		t.Errorf("the log has %d stacks of %d panics, which all come from one place", got, b.k.panics)
	}
	c, u := b.attends()
	b.echo(c, u)
	for _, p := range []*farPeer{c, u, other, service} {
		p.hangsUp()
	}
	b.balanced(0)
}

// A stop ends all sessions, whatever call of the kernel panics.
func TestStopPanics(t *testing.T) {
	for name, change := range map[string]func(*Config){"plain": nil, "TLS": withTLS} {
		for _, at := range []timing{before, after, always} {
			t.Run(fmt.Sprint(name, "/", at), func(t *testing.T) {
				for n, panicked := 1, true; panicked; n++ {
					panicked = stopPanics(t, change, at, n)
				}
			})
		}
	}
}

// stopPanics lets the n-th call of a stop panic, if there are so many.
func stopPanics(t *testing.T, change func(*Config), at timing, n int) (panicked bool) {
	b := newBrokenWorld(t, change)
	defer func() {
		if t.Failed() {
			t.Fatalf("that was call %d; the log:\n%s", n, b.log.String())
		}
	}()
	answers, service := b.attends()
	_, _ = b.attends() // they never answer
	silent, asks := b.dials(), b.dials()
	asks.sendsString(b.begins())
	asks.sendsString(wire.Request())
	b.k.at, b.k.left, b.k.armed = at, n, true
	b.l.post(func() { b.l.drain(0) })
	b.run()
	answers.tries(string(wire.Encode(true, wire.Close(1012, ""))))
	service.tries(string(wire.Encode(false, wire.Close(1001, ""))))
	for _, p := range []*farPeer{answers, service, silent} {
		p.hangsUp()
	}
	b.pass(b.l.cfg.CloseTimeout)
	b.l.post(func() { b.l.cutAll() })
	b.pass(b.l.cfg.CloseTimeout)
	b.hangsUp()
	b.balanced(0)
	if b.l.listener.open {
		t.Error("the listener is open")
	}
	return b.k.panics > 0
}
