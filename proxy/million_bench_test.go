package proxy

import (
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/socket"
)

// BenchmarkMillionSessions holds 1,000,000 sessions without descriptors on one
// loop, and pings both peers of each every 20 s. Every ping is answered. It
// reports what a session costs in heap, and what one second of all heartbeats
// costs in CPU: the code is the one that runs in production, only the two
// seams to the kernel are replaced.
//
//	go test -run - -bench MillionSessions -benchtime 20x ./proxy
func BenchmarkMillionSessions(b *testing.B) {
	const sessions = 1_000_000
	world := newSilentWorld(b)
	before := heapInUse()
	for range sessions {
		world.open()
	}
	after := heapInUse()
	for range 40 { // every session has pinged twice, and its timers are spread
		world.second()
	}
	var pauses debug.GCStats
	runtime.GC()
	debug.ReadGCStats(&pauses)

	world.answered = 0
	b.ResetTimer()
	for range b.N {
		world.second()
	}
	b.StopTimer()
	b.ReportMetric(float64(after-before)/sessions, "heap-B/session")
	b.ReportMetric(float64(world.answered)/float64(b.N), "pongs/s")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms-CPU/s")
	b.ReportMetric(float64(pauses.Pause[0].Microseconds()), "µs-GC-pause")
	runtime.KeepAlive(world)
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// A silentWorld is a loop whose peers do nothing but answer pings.
type silentWorld struct {
	l        *loop
	now      heartbeat.Time
	pinged   []epoll.Token // legs whose peers have sent a pong
	answered int
}

func newSilentWorld(b *testing.B) *silentWorld { return newSilentWorldOf(b, testConfig()) }

func newSilentWorldOf(b *testing.B, cfg Config) *silentWorld {
	w := &silentWorld{now: heartbeat.Time(time.Hour)}
	clock := func() heartbeat.Time { return w.now }
	server, err := newServer(cfg, inventedTime(clock))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.end)
	w.l = server.addLoop(new(silentKernel), rand.Reader)
	return w
}

// open adds a session as a handshake would leave it.
func (w *silentWorld) open() *session {
	s := &session{
		id:      w.l.server.nextID(),
		addr:    netip.AddrFrom4([4]byte{192, 0, 2, 1}),
		port:    1024,
		path:    "/chat/room",
		target:  w.l.server.oneTarget(),
		timer:   heartbeat.Never,
		opening: &opening{},
	}
	w.l.admit(s)
	for _, side := range sides {
		s.legs[side].by = heartbeat.Never
		s.legs[side].io = &silentPeer{world: w, token: w.l.table.token(s, side)}
	}
	w.l.open(s)
	w.l.update(s)
	return s
}

// second lets one second pass, in the steps in which the loop would wake up.
func (w *silentWorld) second() {
	until := w.now.Add(time.Second)
	for {
		next := w.l.wheel.Next()
		if next > until {
			break
		}
		w.now = max(w.now, next)
		w.l.turn(w.now, nil)
		w.answer()
	}
	w.now = until
}

// answer lets the loop read the pongs, as one batch of events after another.
func (w *silentWorld) answer() {
	events := make([]epoll.Event, 0, w.l.kernel.Max())
	for len(w.pinged) > 0 {
		n := min(len(w.pinged), cap(events))
		events = events[:0]
		for _, t := range w.pinged[:n] {
			events = append(events, epoll.Event{Token: t, Ready: epoll.In})
		}
		w.answered += n
		w.l.turn(w.now, events)
		w.pinged = append(w.pinged[:0], w.pinged[n:]...)
	}
}

// A silentKernel reports nothing, and takes note of nothing.
type silentKernel struct{ invented }

func (*silentKernel) Poll() ([]epoll.Event, error)               { return nil, nil }
func (*silentKernel) Add(int, epoll.Token, epoll.Ready) error    { return nil }
func (*silentKernel) Modify(int, epoll.Token, epoll.Ready) error { return nil }
func (*silentKernel) Remove(int) error                           { return nil }

// A silentPeer answers pings. It stands for a descriptor, and is in the heap's
// figure with its 32 bytes in the place of the transport's 8.
type silentPeer struct {
	world *silentWorld
	token epoll.Token
	ping  [8]byte
}

func (p *silentPeer) FD() int           { return 0 }
func (p *silentPeer) Connected() error  { return nil }
func (p *silentPeer) CloseWrite() error { return nil }
func (p *silentPeer) Close() error      { return nil }

func (p *silentPeer) Position(taken uint64) int64 { return int64(taken) }
func (p *silentPeer) Unacked() int                { return 0 }
func (p *silentPeer) Unsent() int                 { return 0 }
func (p *silentPeer) Unread() int                 { return 0 }
func (p *silentPeer) Unlimit()                    {}
func (p *silentPeer) Outlast()                    {}
func (p *silentPeer) LastACKs() socket.ACKs       { return socket.ACKs{} }

func (p *silentPeer) Detach() (net.Conn, error) { return nil, errors.ErrUnsupported }

func (p *silentPeer) Write(b []byte) (int, error) {
	if len(b) == 0 || b[0] != 0x89 {
		return len(b), nil
	}
	payload := b[2:]
	if b[1]&0x80 != 0 { // masked, as it goes to an upstream
		for i := range p.ping {
			p.ping[i] = b[6+i] ^ b[2+i%4]
		}
	} else {
		copy(p.ping[:], payload)
	}
	p.world.pinged = append(p.world.pinged, p.token)
	return len(b), nil
}

func (p *silentPeer) WriteLast(b []byte) (int, error) { return p.Write(b) }

func (p *silentPeer) Read(b []byte, _ int) (int, error) {
	if p.token&legBit != 0 {
		return copy(b, append([]byte{0x8a, 8}, p.ping[:]...)), nil
	}
	return copy(b, append([]byte{0x8a, 0x88, 0, 0, 0, 0}, p.ping[:]...)), nil
}
