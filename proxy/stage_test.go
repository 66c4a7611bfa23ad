package proxy

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
)

// A stage is one loop on invented time. The legs of its sessions are socketpairs, and
// the test alone turns the loop.
type stage struct {
	t       *testing.T
	server  *Server
	l       *loop
	now     heartbeat.Time
	metrics *metrics.Metrics
	log     bytes.Buffer
	peers   []*peer
	legs    []*corked
	buffer  [256 << 10]byte // for what peers read
}

// testConfig is a configuration with the defaults that users get.
func testConfig() Config {
	return Config{
		Upstreams:        []Upstream{{URL: &url.URL{Scheme: "ws", Host: "127.0.0.1:1"}}},
		Listen:           "127.0.0.1:0",
		Client:           heartbeat.Rules{Interval: 20 * time.Second, Timeout: 20 * time.Second},
		UpstreamSide:     heartbeat.Rules{Interval: 20 * time.Second, Timeout: 20 * time.Second, Pong: heartbeat.LearnPong},
		HandshakeTimeout: 10 * time.Second,
		DialTimeout:      5 * time.Second,
		WriteTimeout:     30 * time.Second,
		CloseTimeout:     10 * time.Second,
		TCPUserTimeout:   time.Minute,
		MaxHeaderSize:    32 << 10,
		CloseCodes:       CloseCodes{Timeout: 1011, UpstreamLost: 1012, Drain: 1012},
		Loops:            1,
		Log:              slog.New(slog.DiscardHandler),
		Metrics:          metrics.New("test"),

		UpstreamHandshakeTimeout: 60 * time.Second,
	}
}

// newStage builds a loop; change may adapt its configuration.
func newStage(t *testing.T, change func(*Config)) *stage {
	t.Helper()
	cfg := testConfig()
	st := &stage{t: t, now: heartbeat.Time(time.Hour)}
	cfg.Log = slog.New(slog.NewTextHandler(&st.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(&cfg)
	}
	st.metrics = cfg.Metrics
	clock := func() heartbeat.Time { return st.now }
	p, err := epoll.New()
	if err != nil {
		t.Fatal(err)
	}
	if st.server, err = newServer(cfg, inventedTime(clock)); err != nil {
		t.Fatal(err)
	}
	st.server.setRoom(1000)
	st.l = st.server.addLoop(linux{p, cfg.socketOptions()}, rand.Reader)
	st.l.waitsWith(p)
	t.Cleanup(func() {
		st.l.cutAll()
		st.server.end()
		st.l.inbox.stop()
		st.l.inbox.posters.Wait() // as run: a poster must not wake a closed descriptor
		st.l.epoll.Close()
	})
	return st
}

// session opens a session between two peers; deflate says that
// permessage-deflate was negotiated.
func (st *stage) session(deflate bool) (c, u *peer) {
	st.t.Helper()
	c, u = st.peer(client), st.peer(upstream)
	s := &session{
		id:      st.server.nextID(),
		addr:    netip.MustParseAddr("192.0.2.1"),
		port:    1234,
		path:    "/chat",
		target:  st.server.oneTarget(),
		timer:   heartbeat.Never,
		opening: &opening{deflate: deflate, began: st.now},
	}
	for _, p := range []*peer{c, u} {
		g := &s.legs[p.side]
		g.by = heartbeat.Never
		g.io = st.corks(p.far)
	}
	st.server.live.Add(1)
	st.l.sessions.Add(1)
	st.l.admit(s)
	st.l.now = st.now
	st.l.open(s)
	st.l.update(s)
	return c, u
}

// corks is the transport of a leg.
func (st *stage) corks(fd int) transport {
	leg := &corked{transport: bare(fd)}
	st.legs = append(st.legs, leg)
	return leg
}

// peer makes one end of a leg.
func (st *stage) peer(side Side) *peer {
	st.t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		st.t.Fatal(err)
	}
	p := &peer{st: st, side: side, fd: fds[0], far: fds[1], sendable: true}
	st.peers = append(st.peers, p)
	st.t.Cleanup(func() { p.close() })
	return p
}

// run turns the loop until nothing is ready any more.
func (st *stage) run() {
	st.t.Helper()
	for range 100_000 {
		st.l.poll()
		st.l.turn(st.l.now, st.l.ready)
		wantsNoPanic(st.t, st.server, false)
		st.wantsDeadlines()
		for _, leg := range st.legs {
			if leg.holding {
				st.t.Fatal("the kernel was told that the end follows at once, and the turn is over")
			}
		}
		if len(st.l.ready) == 0 {
			return
		}
	}
	st.t.Fatal("the loop spins: something stays ready and is not dealt with")
}

// wantsDeadlines checks that nothing waits for ever: a session whose end has begun,
// or a leg that owes something, has a time at which it is over, and a timer for it.
func (st *stage) wantsDeadlines() {
	st.t.Helper()
	st.l.table.all(func(s *session) {
		if s.timer == heartbeat.Never && st.l.due(s) != heartbeat.Never {
			st.t.Fatal("a session has a deadline and no timer")
		}
		if s.opening != nil {
			if s.opening.by == heartbeat.Never {
				st.t.Fatalf("a handshake waits for ever in state %d", s.opening.state)
			}
			return
		}
		if s.cause.kind != live && s.until == heartbeat.Never {
			st.t.Fatalf("the end of a session has no end: %+v", s.cause)
		}
		for _, side := range sides {
			g := &s.legs[side]
			stays := g.io != nil && (g.out == outBroken || s.cause.kind != live && g.out > outHeld)
			if g.paused && s.legs[opposite(side)].tail == nil {
				st.t.Fatalf("the %v leg is not read, and nothing is in the way", side)
			}
			if stays && !g.paused && g.deadline() == heartbeat.Never {
				st.t.Fatalf("the %v leg waits for ever: in %d, out %d, cause %+v", side, g.in, g.out, s.cause)
			}
		}
	})
}

// wheelLag is more than a timer may go off late.
const wheelLag = 5 * time.Millisecond

// pass lets time pass, a little more than d, and every timer go off that falls due.
func (st *stage) pass(d time.Duration) {
	st.t.Helper()
	until := st.now.Add(d + wheelLag)
	for {
		next := st.l.wheel.Next()
		if next > until {
			break
		}
		st.now = max(st.now, next)
		st.run()
	}
	st.now = until
	st.run()
}

// counts checks counters and gauges, named as fixture.Counted names them.
func (st *stage) counts(want map[string]float64) {
	st.t.Helper()
	got := fixture.Counted(st.t, st.metrics.Registry())
	for name, n := range want {
		if is, exists := got[name]; is != n || !exists {
			st.t.Errorf("%s = %v, want %v; it exists: %v", name, is, n, exists)
		}
	}
}

// dropped checks that the only session ever opened was dropped for this reason.
func (st *stage) dropped(side Side, reason Reason) {
	st.t.Helper()
	st.over(fmt.Sprintf("sessions_dropped_total{%v,%v}", reason, side))
}

// closed checks that the only session ever opened ended by a close handshake.
func (st *stage) closed(side Side) {
	st.t.Helper()
	st.over(fmt.Sprintf("sessions_closed_total{%v}", side))
}

func (st *stage) over(name string) {
	st.t.Helper()
	got := fixture.Counted(st.t, st.metrics.Registry())
	if got[name] != 1 {
		st.t.Errorf("%s = %v, want 1", name, got[name])
	}
	sum := 0.0
	for n, v := range got {
		if strings.HasPrefix(n, "sessions_dropped_total") || strings.HasPrefix(n, "sessions_closed_total") {
			sum += v
		}
	}
	if sum != 1 || got["sessions_active"] != 0 {
		st.t.Errorf("%v ends, %v sessions active; want 1 and 0", sum, got["sessions_active"])
	}
	for _, side := range sides {
		for _, gauge := range []string{"buffered_bytes", "reads_paused"} {
			if n := got[fmt.Sprintf("%s{side=%q}", gauge, side)]; n != 0 {
				st.t.Errorf("%s of %v = %v after the end, want 0", gauge, side, n)
			}
		}
	}
	if st.l.table.live != 0 || st.l.wheel.Len() != 0 {
		st.t.Errorf("%d sessions, %d timers are left", st.l.table.live, st.l.wheel.Len())
	}
}

// drains lets the loop act while a peer takes whatever comes.
func (st *stage) drains(to *peer) {
	st.t.Helper()
	for range 100 {
		st.run()
		to.read()
	}
}
