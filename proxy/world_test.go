package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/heartbeat"
	"holdfast/internal/wire"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/socket"
)

// An invented kernel has sockets that are two buffers each, and events that follow
// from them, level-triggered as epoll's are. It opens no descriptor: whole lives
// of sessions pass on it by the code that runs in production.
type invented struct {
	sockets map[int]*inventedSocket // by descriptor
	next    int
	waiting []*inventedSocket // clients that have connected
	dialled []*inventedSocket // the upstream's ends of connections to it
	refuses bool              // connections to the upstream are refused
	breaks  *breakage         // of the next connection to the upstream; nil: it does not break
	listens bool              // the loop waits for clients
}

func newInvented() *invented { return &invented{sockets: map[int]*inventedSocket{}} }

// room is what a direction of a connection holds.
const room = 64 << 10

// An inventedSocket is one end of a connection.
type inventedSocket struct {
	kernel *invented
	other  *inventedSocket
	fd     int
	in     []byte // what the other end has sent, and nobody has read
	ended  bool   // the other end sends no more
	closed bool
	breaks *breakage // nil: it does not break

	token epoll.Token
	want  epoll.Ready
}

// A breakage is how a connection breaks: a write fails with err when that many bytes have
// been taken.
type breakage struct {
	after int
	err   error
}

// pair makes a connection.
func (k *invented) pair() (ours, theirs *inventedSocket) {
	k.next++
	ours = &inventedSocket{kernel: k, fd: k.next}
	theirs = &inventedSocket{kernel: k, fd: -1, other: ours}
	ours.other = theirs
	k.sockets[ours.fd] = ours
	return ours, theirs
}

func (k *invented) Max() int { return 256 }

func (k *invented) Poll() (ready []epoll.Event, err error) {
	fds := make([]int, 0, len(k.sockets))
	for fd := range k.sockets {
		fds = append(fds, fd)
	}
	slices.Sort(fds)
	for _, fd := range fds {
		s := k.sockets[fd]
		if now := s.readiness() & (s.want | epoll.Broken); now != 0 && s.want != 0 && len(ready) < k.Max() {
			ready = append(ready, epoll.Event{Token: s.token, Ready: now})
		}
	}
	if k.listens && len(k.waiting) > 0 {
		ready = append(ready, epoll.Event{Token: listenerToken, Ready: epoll.In})
	}
	return ready, nil
}

func (s *inventedSocket) readiness() (now epoll.Ready) {
	if len(s.in) > 0 || s.ended {
		now |= epoll.In
	}
	if s.ended {
		now |= epoll.Ended
	}
	if len(s.other.in) < room {
		now |= epoll.Out
	}
	if s.other.closed {
		now |= epoll.Broken
	}
	return now
}

func (k *invented) Add(fd int, t epoll.Token, want epoll.Ready) error {
	s := k.sockets[fd]
	if s == nil {
		k.listens = want != 0
		return nil
	}
	s.token, s.want = t, want
	return nil
}

func (k *invented) Modify(fd int, t epoll.Token, want epoll.Ready) error { return k.Add(fd, t, want) }
func (k *invented) Remove(fd int) error                                  { return k.Add(fd, 0, 0) }
func (k *invented) Waiting(int) bool                                     { return len(k.waiting) > 0 }

func (k *invented) Accept(int, bool) (transport, netip.AddrPort, error) {
	if len(k.waiting) == 0 {
		return nil, netip.AddrPort{}, errAgain
	}
	s := k.waiting[0]
	k.waiting = k.waiting[1:]
	return s, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(s.fd)), nil
}

var errInventedRefusal = errors.New("refused by the invented kernel")

func (k *invented) Connect(socket.Endpoint) (transport, error) {
	if k.refuses {
		return nil, errInventedRefusal
	}
	ours, theirs := k.pair()
	ours.breaks, k.breaks = k.breaks, nil
	k.dialled = append(k.dialled, theirs)
	return ours, nil
}

func (k *invented) ServeTLS(transport, []byte, *tls.Config) secured { panic("no TLS is invented") }
func (k *invented) AskTLS(transport, *tls.Config) secured           { panic("no TLS is invented") }

func (s *inventedSocket) FD() int          { return s.fd }
func (s *inventedSocket) Connected() error { return nil }

func (s *inventedSocket) Read(b []byte, most int) (int, error) {
	switch {
	case len(s.in) > 0:
		n := copy(b[:min(len(b), most)], s.in)
		s.in = s.in[n:]
		return n, nil
	case s.ended:
		return 0, io.EOF
	default:
		return 0, errAgain
	}
}

func (s *inventedSocket) Write(b []byte) (int, error) {
	if s.other.closed {
		return 0, io.ErrClosedPipe
	}
	n := min(len(b), room-len(s.other.in))
	if s.breaks != nil {
		if s.breaks.after == 0 {
			return 0, s.breaks.err
		}
		n = min(n, s.breaks.after)
		s.breaks.after -= n
	}
	if n == 0 {
		return 0, errAgain
	}
	s.other.in = append(s.other.in, b[:n]...)
	return n, nil
}

func (s *inventedSocket) WriteLast(b []byte) (int, error) { return s.Write(b) }

func (s *inventedSocket) CloseWrite() error {
	s.other.ended = true
	return nil
}

func (s *inventedSocket) Close() error {
	s.other.ended = true
	s.closed = true
	delete(s.kernel.sockets, s.fd)
	return nil
}

func (s *inventedSocket) Position(taken uint64) int64 { return int64(taken) }
func (s *inventedSocket) Unacked() int                { return len(s.other.in) }
func (s *inventedSocket) Unsent() int                 { return 0 }
func (s *inventedSocket) Unread() int                 { return len(s.in) }
func (s *inventedSocket) Unlimit()                    {}
func (s *inventedSocket) Outlast()                    {}
func (s *inventedSocket) LastACKs() socket.ACKs       { return socket.ACKs{} }

// Detach closes the connection: outside the loop there is no invented kernel.
func (s *inventedSocket) Detach() (net.Conn, error) {
	return nil, errors.Join(errors.ErrUnsupported, s.Close())
}

// inventedTime is a world with that clock.
func inventedTime(now func() heartbeat.Time) world {
	return world{
		clock:  clock{now: now},
		beside: func(job func()) { go job() },
		after:  func(time.Duration, func()) {}, // probes
	}
}

// An inventedWorld is a server over an invented kernel, turned by the test.
type inventedWorld struct {
	t      *testing.T
	server *Server
	l      *loop
	kernel *invented
	now    heartbeat.Time
	beside func() bool // runs the jobs beside the loop that wait, and reports whether there were any; nil: they do not wait

	besideTime atomic.Int64 // the time beside the loop: now, when the loop last began to run
	mayPanic   bool
}

func newInventedWorld(t *testing.T, change func(*Config)) *inventedWorld {
	return newInventedWorldBeside(t, change, func(job func()) { go job() })
}

// newInventedWorldBeside is newInventedWorld with what runs the jobs beside the loop.
func newInventedWorldBeside(t *testing.T, change func(*Config), beside func(job func())) *inventedWorld {
	w := &inventedWorld{t: t, kernel: newInvented(), now: heartbeat.Time(time.Hour)}
	w.besideTime.Store(int64(w.now))
	around := inventedTime(func() heartbeat.Time { return heartbeat.Time(w.besideTime.Load()) })
	around.beside = beside
	w.begins(change, around)
	w.l.clock = func() heartbeat.Time { return w.now }
	t.Cleanup(w.server.end)
	return w
}

// begins makes the server and its loop.
func (w *inventedWorld) begins(change func(*Config), around world) {
	w.t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	var err error
	if w.server, err = newServer(cfg, around); err != nil {
		w.t.Fatal(err)
	}
	w.l = w.server.addLoop(w.kernel, rand.NewChaCha8([32]byte{}))
	w.l.listener.open = true
	w.l.startAccept()
}

// run turns the loop until nothing happens any more.
func (w *inventedWorld) run() {
	w.t.Helper()
	w.besideTime.Store(int64(w.now))
	for range 10_000 {
		alarms := w.l.alarms
		w.l.poll()
		w.l.turn(w.l.now, w.l.ready)
		wantsNoPanic(w.t, w.server, w.mayPanic)
		ran := w.beside != nil && w.beside()
		if len(w.l.ready) == 0 && w.l.alarms == alarms && !ran || w.l.faults.broken != nil {
			return
		}
	}
	w.t.Fatal("the loop spins")
}

// wantsNoPanic fails the test if the server has caught a panic that was not to be. Without
// it a panic would look like an end of a session.
func wantsNoPanic(t testing.TB, s *Server, mayPanic bool) {
	t.Helper()
	if f := &s.loops[0].faults; !mayPanic && (f.examineAt != 0 || f.broken != nil) {
		t.Fatal("the loop has caught a panic: ", f.broken)
	}
}

// pass lets time pass, every timer on its way.
func (w *inventedWorld) pass(d time.Duration) {
	w.t.Helper()
	until := w.now.Add(d + wheelLag)
	for next := w.l.wheel.Next(); next <= until; next = w.l.wheel.Next() {
		w.now = max(w.now, next)
		w.run()
	}
	w.now = until
	w.run()
}

// A farPeer is the test's end of a connection of the invented kernel.
type farPeer struct {
	w      *inventedWorld
	side   Side
	socket *inventedSocket
}

// dials connects a client.
func (w *inventedWorld) dials() *farPeer {
	ours, theirs := w.kernel.pair()
	w.kernel.waiting = append(w.kernel.waiting, ours)
	w.run()
	return &farPeer{w, client, theirs}
}

// accepts takes the oldest connection that the loop has made to the upstream.
func (w *inventedWorld) accepts() *farPeer {
	w.t.Helper()
	if len(w.kernel.dialled) == 0 {
		w.t.Fatal("the upstream was not dialled")
	}
	upstreams := w.kernel.dialled
	w.kernel.dialled = upstreams[1:]
	return &farPeer{w, upstream, upstreams[0]}
}

// opens leads a client and the upstream through a handshake.
func (w *inventedWorld) opens() (client, upstream *farPeer) {
	w.t.Helper()
	client = w.dials()
	client.sendsString(wire.Request())
	upstream = w.accepts()
	asked, err := wire.ParseRequest(upstream.told())
	if err != nil {
		w.t.Fatalf("the upstream got no request: %v", err)
	}
	upstream.sendsString(wire.Answer(asked))
	got := client.told()
	if !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.Contains(got, "Sec-WebSocket-Accept: "+wire.Accept(wire.Key)+"\r\n") {
		w.t.Fatalf("the client is told %q", got)
	}
	return client, upstream
}

// masks says whether this peer's frames must be masked (RFC 6455 5.1).
func (p *farPeer) masks() bool { return p.side == client }

// told takes what has come.
func (p *farPeer) told() string {
	got := string(p.socket.in)
	p.socket.in = nil
	p.w.run()
	return got
}

func (p *farPeer) sends(frames ...wire.Frame) {
	p.w.t.Helper()
	p.sendsString(string(wire.Encode(p.masks(), frames...)))
}

// sendsString writes to the loop's end, as much as that takes at a time.
func (p *farPeer) sendsString(s string) {
	p.w.t.Helper()
	for s != "" {
		n, err := p.socket.Write([]byte(s))
		if err != nil && err != errAgain {
			p.w.t.Fatal(err)
		}
		s = s[n:]
		p.w.run()
	}
}

// wants checks that exactly these frames have come.
func (p *farPeer) wants(why string, want ...wire.Frame) {
	p.w.t.Helper()
	got := p.frames()
	if !slices.Equal(got, want) {
		p.w.t.Fatalf("%s: %v got %v, want %v", why, p.side, got, want)
	}
}

// wantsPing checks that exactly a ping has come, and returns the answer to it.
func (p *farPeer) wantsPing(why string) (pong wire.Frame) {
	p.w.t.Helper()
	got := p.frames()
	if len(got) != 1 || got[0].Op != ws.OpPing {
		p.w.t.Fatalf("%s: %v got %v, want a ping", why, p.side, got)
	}
	return wire.Pong(got[0].Payload)
}

func (p *farPeer) frames() (got []wire.Frame) {
	p.w.t.Helper()
	for in := strings.NewReader(p.told()); in.Len() > 0; {
		f, err := wire.Read(in, !p.masks())
		if err != nil {
			p.w.t.Fatalf("%v got a broken frame after %v: %v", p.side, got, err)
		}
		got = append(got, f)
	}
	return got
}

// hangsUp closes the test's end.
func (p *farPeer) hangsUp() {
	p.socket.closed, p.socket.other.ended = true, true
	p.w.run()
}
