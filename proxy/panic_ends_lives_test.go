package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
)

// counts checks counters, named as fixture.Counted names them.
func (b *brokenWorld) counts(want map[string]float64) {
	b.t.Helper()
	got := fixture.Counted(b.t, b.server.cfg.Metrics.Registry())
	for name, n := range want {
		if is, exists := got[name]; is != n || !exists {
			b.t.Errorf("%s = %v, want %v; it exists: %v", name, is, n, exists)
		}
	}
}

// panicsIn lets the next call of that kind panic, for the connection of that peer.
func (b *brokenWorld) panicsIn(kind string, p *farPeer) {
	b.k.armed = true
	b.k.stuck = func(other string, fd int) bool {
		if other != kind || fd != p.socket.other.fd {
			return false
		}
		b.k.stuck = nil
		return true
	}
}

// cutOff checks that a peer has got these frames and then the end of TCP.
func (p *farPeer) cutOff(why string, want ...wire.Frame) {
	p.w.t.Helper()
	p.wants(why, want...)
	if !p.socket.other.closed {
		p.w.t.Errorf("%s: the %v leg is not closed", why, p.side)
	}
}

var (
	internalToClient  = wire.Close(1011, "internal error")
	internalToService = wire.Close(1001, "proxy internal error")
)

const droppedInternal = "sessions_dropped_total{internal,proxy}"

// A panic ends its session with a Close to both peers, where one can be written.
func TestPanicIsTold(t *testing.T) {
	for name, play := range map[string]func(b *brokenWorld, c, u *farPeer){
		"a read of the client": func(b *brokenWorld, c, u *farPeer) {
			b.panicsIn("Read", c)
			c.sends(wire.Text("lost"))
			c.wants("the fault is ours", internalToClient)
			u.wants("the fault is ours", internalToService)
		},
		"a read of the upstream": func(b *brokenWorld, c, u *farPeer) {
			b.panicsIn("Read", u)
			u.sends(wire.Text("lost"))
			c.wants("the fault is ours", internalToClient)
			u.wants("the fault is ours", internalToService)
		},
		"a heartbeat": func(b *brokenWorld, c, u *farPeer) {
			b.panicsIn("Position", c)
			b.pass(21 * time.Second)
			c.wants("the fault is ours", internalToClient)
			u.wants("the fault is ours", internalToService)
		},
		"a write to the upstream, which may end inside a frame": func(b *brokenWorld, c, u *farPeer) {
			b.panicsIn("Write", u)
			c.sends(wire.Text("lost"))
			c.wants("the fault is ours", internalToClient)
			u.cutOff("a Close could land inside a frame")
		},
		"a write to the client, which may end inside a frame": func(b *brokenWorld, c, u *farPeer) {
			b.panicsIn("Write", c)
			u.sends(wire.Text("lost"))
			u.wants("the fault is ours", internalToService)
			c.cutOff("a Close could land inside a frame")
		},
		"a read inside a frame": func(b *brokenWorld, c, u *farPeer) {
			whole := string(wire.Encode(true, wire.Text("half of it is lost")))
			c.sendsString(whole[:10])
			b.panicsIn("Read", c)
			c.sendsString(whole[10:])
			c.wants("the fault is ours", internalToClient)
			if got := u.told(); got != whole[:10] || !u.socket.other.closed {
				b.t.Errorf("the upstream got %q, want %q and the end", got, whole[:10])
			}
		},
		"the end of a write, with bytes that wait": func(b *brokenWorld, c, u *farPeer) {
			b.panicsIn("Outlast", c)
			u.tries(string(wire.Encode(false, wire.Binary(strings.Repeat("z", 2*room)))))
			u.wants("the fault is ours", internalToService)
			c.told()
			if !c.socket.other.closed {
				b.t.Error("the client's leg is open behind a part of a frame")
			}
		},
		"the last write of what waited": func(b *brokenWorld, c, u *farPeer) {
			long := wire.Binary(strings.Repeat("z", room))
			u.sends(long)
			b.panicsIn("Unacked", c)
			want := string(wire.Encode(false, long, internalToClient))
			if got := c.told() + c.told(); got != want {
				b.t.Errorf("the client got %d bytes, want %d: the frame and a Close", len(got), len(want))
			}
			u.wants("the fault is ours", internalToService)
		},
		"a close handshake": func(b *brokenWorld, c, u *farPeer) {
			c.sends(wire.Close(4000, "bye"))
			b.panicsIn("Read", u)
			u.sends(wire.Close(4000, "bye"))
			u.cutOff("it has the client's Close", wire.Close(4000, "bye"))
			c.cutOff("its own code comes back", wire.Close(4000, ""))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrokenWorld(t, nil)
			c, u := b.attends()
			play(b, c, u)
			for _, p := range []*farPeer{c, u} {
				p.hangsUp()
			}
			b.balanced(0)
			b.counts(map[string]float64{droppedInternal: 1, "sessions_opened_total": 1, "panics_total": 1})
			if b.stacks() != 1 || !strings.Contains(b.log.String(), "reason=internal") || !strings.Contains(b.log.String(), `detail="panic: invented panic`) {
				t.Errorf("the log says:\n%s", &b.log)
			}
		})
	}
}

// A panic behind a whole close handshake does not change how the session is counted.
func TestPanicAfterTheCloses(t *testing.T) {
	b := newBrokenWorld(t, nil)
	c, u := b.attends()
	c.sends(wire.Close(4000, ""))
	u.sends(wire.Close(4000, ""))
	b.panicsIn("Read", c)
	c.hangsUp()
	u.hangsUp()
	b.balanced(0)
	b.counts(map[string]float64{"sessions_closed_total{client}": 1, droppedInternal: 0, "panics_total": 1})
}

// A handshake that panics is closed and counted once.
func TestHandshakePanics(t *testing.T) {
	b := newBrokenWorld(t, nil)
	c := b.dials()
	c.sendsString(wire.Request())
	u := b.accepts()
	b.panicsIn("Read", u)
	asked, err := wire.ParseRequest(u.told())
	if err != nil {
		t.Fatal(err)
	}
	u.sendsString(wire.Answer(asked))
	if got := c.told(); got != "" || !c.socket.other.closed || !u.socket.other.closed {
		t.Errorf("the client is told %q", got)
	}
	b.balanced(0)
	b.counts(map[string]float64{"handshakes_total{internal}": 1, "panics_total": 1, "sessions_opened_total": 0})
}

// Many sessions that panic at one place cost one stack in the log.
func TestManyPanics(t *testing.T) {
	b := newBrokenWorld(t, nil)
	const sessions = 100
	for range sessions {
		c, u := b.attends()
		b.panicsIn("Read", c)
		c.sends(wire.Text("lost"))
		c.hangsUp()
		u.hangsUp()
	}
	b.balanced(0)
	b.counts(map[string]float64{droppedInternal: sessions, "panics_total": sessions})
	if b.stacks() != 1 {
		t.Errorf("the log has %d stacks", b.stacks())
	}
}

// Who is told of the ends may panic: the session has ended all the same.
func TestEndedPanics(t *testing.T) {
	b := newBrokenWorld(t, func(c *Config) { c.Ended = func(*Ended) { panic("nobody is to be told") } })
	other, service := b.attends()
	c, u := b.attends()
	for _, p := range []*farPeer{c, u} {
		p.hangsUp()
	}
	b.k.panics = 1
	b.echo(other, service)
	b.balanced(1)
	b.counts(map[string]float64{"sessions_dropped_total{eof,client}": 1})
}

// A log that panics takes no session with it that is not being logged.
func TestLogThatPanics(t *testing.T) {
	b := newBrokenWorld(t, func(c *Config) { c.Log = slog.New(panickingLog{c.Log.Handler()}) })
	other, service := b.attends()
	c, u := b.attends()
	for _, p := range []*farPeer{c, u} {
		p.hangsUp()
	}
	b.k.panics = 1
	b.echo(other, service)
	b.balanced(1)
}

// panickingLog panics when a session ends, and when a panic is logged.
type panickingLog struct{ slog.Handler }

func (h panickingLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "session dropped" || r.Message == "panic" {
		panic("the log is broken")
	}
	return h.Handler.Handle(ctx, r)
}

// A job that panics is lost. The jobs behind it and the sessions are not.
func TestJobPanics(t *testing.T) {
	b := newBrokenWorld(t, nil)
	other, service := b.attends()
	done := 0
	for range 2 {
		b.l.post(func() { panic("a job") })
		b.l.post(func() { done++ })
	}
	b.run()
	b.k.panics = 2
	b.echo(other, service)
	b.balanced(1)
	if done != 2 {
		t.Errorf("%d of 2 jobs were done", done)
	}
}

// The loop does not go on with a state that is broken.
func TestBrokenState(t *testing.T) {
	for name, breaks := range map[string]func(l *loop){
		"the table":  func(l *loop) { l.table.live++ },
		"the timers": func(l *loop) { l.wheel.Set(1000, l.now.Add(time.Hour)) },
		"the queue":  func(l *loop) { l.queueOfOne().places-- },
		"the count of sessions": func(l *loop) {
			l.metrics.Opened()
		},
		"the count of bytes": func(l *loop) { l.metrics.Buffered(client, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrokenWorld(t, nil)
			b.attends()
			breaks(b.l)
			if b.run(); b.l.faults.broken != nil {
				t.Fatalf("nothing has panicked, yet the loop is broken: %v", b.l.faults.broken)
			}
			b.l.post(func() { panic("a job") })
			b.run()
			if err := b.l.faults.broken; err == nil || !strings.HasPrefix(err.Error(), "event loop: after a panic: ") {
				t.Errorf("the loop is broken by %v", err)
			}
		})
	}
}

// A panic in what belongs to no session breaks the loop.
func TestOwnPanic(t *testing.T) {
	for name, breaks := range map[string]func(b *brokenWorld){
		"a token of no session": func(b *brokenWorld) { b.l.turn(b.now, []epoll.Event{{Token: 1000}}) },
		"a queue":               func(b *brokenWorld) { b.l.enqueue(b.l.queueOfOne(), nil); b.run() },
		"a listener that cannot be left alone": func(b *brokenWorld) {
			b.k.armed = true
			b.k.stuck = func(kind string, fd int) bool { return fd < 0 }
			b.dials()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrokenWorld(t, nil)
			breaks(b)
			if err := b.l.faults.broken; err == nil || !strings.HasPrefix(err.Error(), "event loop: ") {
				t.Errorf("the loop is broken by %v", err)
			}
		})
	}
}

// A lookup that panics fails the handshakes that wait for it, and the next one is tried.
func TestLookupPanics(t *testing.T) {
	panics := true
	b := newBrokenWorld(t, func(c *Config) {
		c.Upstreams[0].URL = &url.URL{Scheme: "ws", Host: "service.example:1"}
		c.find = func(context.Context, string) ([]netip.Addr, error) {
			if panics {
				panic("in the resolver")
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.9")}, nil
		}
	})
	b.k.panics = 1
	c := b.dials()
	c.sendsString(wire.Request())
	if got := c.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Errorf("the client is told %q", got)
	}
	c.hangsUp()
	panics = false
	other, service := b.attends()
	b.echo(other, service)
	b.balanced(1)
	b.counts(map[string]float64{"handshakes_total{internal}": 1, "handshakes_total{ok}": 1})
}

// A refusal that panics on its way is counted, and closes both connections.
func TestRelayPanics(t *testing.T) {
	b := newBrokenWorld(t, nil)
	b.k.panics = 2 // in the answer of the upstream, and in what the client sends behind its request
	conns := [2]panickingConn{{closed: new(bool)}, {closed: new(bool)}}
	r := &relay{
		server:   b.server,
		metrics:  b.l.metrics,
		client:   detaching{to: conns[client]},
		upstream: detaching{to: conns[upstream]},
		time:     time.Second,
		log:      b.l.log,
	}
	b.server.live.Add(1)
	b.server.beside(r.pass)
	b.run()
	if !*conns[client].closed || !*conns[upstream].closed {
		t.Error("a connection is open")
	}
	b.balanced(0)
	b.counts(map[string]float64{"handshakes_total{internal}": 1})
}

// detaching is a transport that has nothing but a connection for the standard library.
type detaching struct {
	transport
	to net.Conn
}

func (d detaching) Detach() (net.Conn, error) { return d.to, nil }

// A panickingConn panics when it is read.
type panickingConn struct {
	net.Conn
	closed *bool
}

func (panickingConn) SetDeadline(time.Time) error { return nil }
func (panickingConn) CloseWrite() error           { return nil }
func (panickingConn) Read([]byte) (int, error)    { panic("in a read of a relay") }

func (c panickingConn) Close() error {
	*c.closed = true
	return nil
}

// A panic that net/http has caught while it served a page is counted.
func TestPagePanics(t *testing.T) {
	b := newBrokenWorld(t, nil)
	b.k.panics = 1
	b.server.webConfig().ErrorLog.Print("http: panic serving 192.0.2.1:1: of a page\n")
	b.balanced(0)
	if b.stacks() != 1 {
		t.Errorf("the log says %q", &b.log)
	}
}

// A loop that is broken ends the server with an error, and nobody waits for its sessions.
func TestBrokenLoopEndsTheServer(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 2
	cfg.HealthInterval = -1
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	s.live.Add(1) // a client that the loop has lost
	s.loops[1].post(func() {
		s.loops[1].faults.duty = ownDuty
		panic("of the loop's own")
	})
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "event loop: panic: of the loop's own, at ") {
		t.Errorf("Run returned %v", err)
	}
	if _, err := s.Shutdown(context.Background(), Stop{}); err != nil {
		t.Error(err)
	}
}

// A source of random bytes that fails ends a handshake, and not the loop.
func TestRandomFails(t *testing.T) {
	b := newBrokenWorld(t, nil)
	b.l.random.source = failingSource{}
	c := b.dials()
	c.sendsString(wire.Request())
	u := b.accepts()
	asked, err := wire.ParseRequest(u.told())
	if err != nil {
		t.Fatal(err)
	}
	u.sendsString(wire.Answer(asked))
	c.told()
	b.k.panics = 1
	b.balanced(0)
	b.counts(map[string]float64{"sessions_opened_total": 0, fmt.Sprintf("handshakes_total{%v}", metrics.ResultInternal): 1})
}

type failingSource struct{}

func (failingSource) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

// A client whose seat panics is closed.
func TestSeatPanics(t *testing.T) {
	b := newBrokenWorld(t, nil)
	b.server.perAddress = nil
	b.k.panics = 1
	c := b.dials()
	if !c.socket.other.closed {
		t.Error("the client's connection is open")
	}
	b.balanced(0)
}
