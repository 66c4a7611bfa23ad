package proxy

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
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
	beside  atomic.Int64 // the time beside the loop: now, when the loop last began to run
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
		Metrics:          fixture.Own(metrics.New("test")),

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
	st.beside.Store(int64(st.now))
	beside := func() heartbeat.Time { return heartbeat.Time(st.beside.Load()) }
	p, err := epoll.New()
	if err != nil {
		t.Fatal(err)
	}
	if st.server, err = newServer(cfg, inventedTime(beside)); err != nil {
		t.Fatal(err)
	}
	st.server.setRooms(1000, mostRefused)
	st.l = st.server.addLoop(linux{p, cfg.socketOptions()}, rand.Reader)
	st.l.clock = func() heartbeat.Time { return st.now }
	st.l.waitsWith(p)
	t.Cleanup(func() {
		st.l.shut = true // so that late clients are cut too
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
	s.opening.standing, _ = st.server.letIn()
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

// run turns the loop until nothing is ready any more, and no timer has gone off.
func (st *stage) run() {
	st.t.Helper()
	st.beside.Store(int64(st.now))
	for range 100_000 {
		alarms := st.l.alarms
		st.l.poll()
		st.l.turn(st.l.now, st.l.ready)
		wantsNoPanic(st.t, st.server, false)
		st.wantsOrder()
		for _, leg := range st.legs {
			if leg.holding {
				st.t.Fatal("the kernel was told that the end follows at once, and the turn is over")
			}
		}
		if len(st.l.ready) == 0 && st.l.alarms == alarms {
			return
		}
	}
	st.t.Fatal("the loop spins: something stays ready and is not dealt with")
}

// wantsOrder checks that whatever waits has a deadline and a timer, and that the clients
// hold what is taken of the rooms.
func (st *stage) wantsOrder() {
	st.t.Helper()
	var held holding
	st.l.table.all(func(s *session) {
		held.add(st.l, s)
		if err := st.l.audit(s); err != nil {
			st.t.Fatal(err)
		}
	})
	if err := held.checkRooms(st.server); err != nil {
		st.t.Fatal(err)
	}
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
