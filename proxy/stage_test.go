package proxy

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/socket"
)

// A stage is one loop on invented time, whose sessions have socketpairs for
// legs. The loop is turned by the test alone.
type stage struct {
	t       *testing.T
	server  *Server
	l       *loop
	now     heartbeat.Time
	metrics *metrics.Metrics
	log     bytes.Buffer
	peers   []*peer
	legs    []*corked
}

// A corked transport notes whether the kernel may be holding bytes back.
type corked struct {
	transport
	last    []byte // what WriteLast was given
	holding bool   // WriteLast was called, and neither CloseWrite nor Close
	wire    *wire  // nil: bytes are at the peer as soon as they are written
	taken   int64  // bytes written
}

// A wire is a link with a TCP that acknowledges when the test says so.
type wire struct {
	leg   *corked
	st    *stage
	acked int64
	heard heartbeat.Time // when an acknowledgement last came
	gap   bool           // of bytes behind others that were lost
	full  bool           // its peer has no room, and acknowledges probes
}

// slows puts a wire under a peer's leg: from now on nothing is acknowledged unless
// the test says so.
func (p *peer) slows() *wire {
	leg := p.st.l.session(p).legs[p.side].io.(*corked)
	leg.wire = &wire{leg: leg, st: p.st, acked: leg.taken}
	return leg.wire
}

// acknowledges lets the peer's TCP have n bytes more, at the most all that there are.
func (w *wire) acknowledges(n int64) {
	w.acked = min(w.acked+n, w.leg.taken)
	w.heard = w.st.now
}

func (c *corked) Unacked() int {
	if c.wire == nil {
		return c.transport.Unacked()
	}
	return int(c.taken - c.wire.acked)
}

func (c *corked) Unsent() int { return c.Unacked() }

func (c *corked) LastACKs() socket.ACKs {
	if c.wire == nil {
		return c.transport.LastACKs()
	}
	if c.wire.full {
		return socket.ACKs{Last: time.Second, Full: true}
	}
	return socket.ACKs{Last: c.wire.st.now.Sub(c.wire.heard), Gap: c.wire.gap}
}

func (c *corked) Write(b []byte) (int, error) {
	n, err := c.transport.Write(b)
	c.taken += int64(n)
	return n, err
}

func (c *corked) WriteLast(b []byte) (int, error) {
	c.last = append(c.last, b...)
	n, err := c.transport.WriteLast(b)
	c.taken += int64(n)
	c.holding = n == len(b)
	return n, err
}

func (c *corked) CloseWrite() error {
	c.holding = false
	return c.transport.CloseWrite()
}

func (c *corked) Close() error {
	c.holding = false
	return c.transport.Close()
}

// testConfig is a configuration with the defaults that users get.
func testConfig() Config {
	return Config{
		Upstream:         &url.URL{Scheme: "ws", Host: "127.0.0.1:1"},
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
		st.l.epoll.Close()
		st.server.end()
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
		backend: st.server.pool.Pick(nil),
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
		events, err := st.l.epoll.Poll()
		if err != nil {
			st.t.Fatal(err)
		}
		st.l.turn(st.now, events)
		st.wantsDeadlines()
		for _, leg := range st.legs {
			if leg.holding {
				st.t.Fatal("the kernel was told that the end follows at once, and the turn is over")
			}
		}
		if len(events) == 0 {
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

// counts checks counters and gauges, named as they are scraped.
func (st *stage) counts(want map[string]float64) {
	st.t.Helper()
	got := scrape(st.t, st.metrics)
	for name, n := range want {
		if got[name] != n {
			st.t.Errorf("%s = %v, want %v", name, got[name], n)
		}
	}
}

// dropped checks that the only session ever opened was dropped for this reason.
func (st *stage) dropped(side Side, reason Reason) {
	st.t.Helper()
	st.over(fmt.Sprintf("holdfast_sessions_dropped_total{reason=%q,side=%q}", reason, side))
}

// closed checks that the only session ever opened ended by a close handshake.
func (st *stage) closed(side Side) {
	st.t.Helper()
	st.over(fmt.Sprintf("holdfast_sessions_closed_total{side=%q}", side))
}

func (st *stage) over(name string) {
	st.t.Helper()
	got := scrape(st.t, st.metrics)
	if got[name] != 1 {
		st.t.Errorf("%s = %v, want 1", name, got[name])
	}
	sum := 0.0
	for n, v := range got {
		if strings.HasPrefix(n, "holdfast_sessions_dropped_total") || strings.HasPrefix(n, "holdfast_sessions_closed_total") {
			sum += v
		}
	}
	if sum != 1 || got["holdfast_sessions_active"] != 0 {
		st.t.Errorf("%v ends, %v sessions active; want 1 and 0", sum, got["holdfast_sessions_active"])
	}
	for _, side := range sides {
		for _, gauge := range []string{"holdfast_buffered_bytes", "holdfast_reads_paused"} {
			if n := got[fmt.Sprintf("%s{side=%q}", gauge, side)]; n != 0 {
				st.t.Errorf("%s of %v = %v after the end, want 0", gauge, side, n)
			}
		}
	}
	if st.l.table.live != 0 || st.l.wheel.Len() != 0 {
		st.t.Errorf("%d sessions, %d timers are left", st.l.table.live, st.l.wheel.Len())
	}
}

// scrape is what Prometheus would see: counters and gauges by name and labels.
func scrape(t *testing.T, m *metrics.Metrics) map[string]float64 {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, p := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", p.GetName(), p.GetValue()))
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

// A peer is the test's end of a leg.
type peer struct {
	st    *stage
	side  Side
	fd    int // the test's; -1 once closed
	far   int // the loop's
	got   []byte
	ended bool

	sendable bool // for scripts: nothing has failed yet
}

func (p *peer) close() {
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

// hangsUp closes the peer's descriptor.
func (p *peer) hangsUp() {
	p.st.t.Helper()
	p.read()
	p.close()
	p.st.run()
}

// stopsSending ends the peer's direction alone.
func (p *peer) stopsSending() {
	p.st.t.Helper()
	if err := unix.Shutdown(p.fd, unix.SHUT_WR); err != nil {
		p.st.t.Fatal(err)
	}
	p.st.run()
}

// sends writes frames, masked if the peer is a client, and lets the loop act.
func (p *peer) sends(frames ...msg) {
	p.st.t.Helper()
	var b []byte
	for _, f := range frames {
		b = append(b, f.encode(p.side == client)...)
	}
	p.sendsBytes(b)
}

func (p *peer) sendsBytes(b []byte) {
	p.st.t.Helper()
	for len(b) > 0 {
		n, err := unix.Write(p.fd, b)
		if err != nil && err != unix.EAGAIN {
			p.st.t.Fatalf("%v cannot send: %v", p.side, err)
		}
		b = b[max(n, 0):]
		p.st.run()
	}
}

// read collects what the loop has written.
func (p *peer) read() {
	buf := make([]byte, 256<<10)
	for p.fd >= 0 && !p.ended {
		n, err := unix.Read(p.fd, buf)
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			p.ended = true
		default:
			p.got = append(p.got, buf[:n]...)
			p.st.run()
		}
	}
}

// wants checks that exactly these frames, and no byte more, have arrived.
func (p *peer) wants(why string, want ...msg) {
	p.st.t.Helper()
	p.read()
	got := p.frames()
	if len(got) != len(want) {
		p.st.t.Fatalf("%s: %v got %v, want %v", why, p.side, got, want)
	}
	for i := range want {
		if !got[i].equal(want[i]) {
			p.st.t.Fatalf("%s: %v's frame %d is %v, want %v", why, p.side, i+1, got[i], want[i])
		}
	}
}

func (p *peer) wantsNothing(why string) {
	p.st.t.Helper()
	p.wants(why)
	if p.ended {
		p.st.t.Fatalf("%s: %v's connection has ended", why, p.side)
	}
}

// wantsPing checks that exactly a ping of the proxy's has arrived, and returns the answer to it.
func (p *peer) wantsPing(why string) (pong msg) {
	p.st.t.Helper()
	p.read()
	got := p.frames()
	if len(got) != 1 || got[0].op != ws.OpPing || len(got[0].payload) != 8 {
		p.st.t.Fatalf("%s: %v got %v, want a ping with 8 bytes", why, p.side, got)
	}
	return msg{op: ws.OpPong, fin: true, payload: got[0].payload}
}

// wantsEnd checks that the connection has ended, with nothing before it.
func (p *peer) wantsEnd(why string) {
	p.st.t.Helper()
	p.wants(why)
	if !p.ended {
		p.st.t.Fatalf("%s: %v's connection has not ended", why, p.side)
	}
}

// frames takes the frames out of what has been read, which must be whole, and
// checks the masking that each direction must have.
func (p *peer) frames() (got []msg) {
	p.st.t.Helper()
	got = p.wholeFrames()
	if len(p.got) > 0 {
		p.st.t.Fatalf("%v got a part of a frame, %d bytes, after %v", p.side, len(p.got), got)
	}
	return got
}

// wholeFrames is frames, but leaves the beginning of a frame for later.
func (p *peer) wholeFrames() (got []msg) {
	p.st.t.Helper()
	for len(p.got) > 0 {
		r := bytes.NewReader(p.got)
		//lint:ignore SA1019 the input is the test's own, and bounded
		f, err := ws.ReadFrame(r)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return got
		}
		if err != nil {
			p.st.t.Fatalf("%v got a broken frame, % x: %v", p.side, p.got, err)
		}
		p.got = p.got[len(p.got)-r.Len():]
		if toServer := p.side == upstream; f.Header.Masked != toServer {
			p.st.t.Fatalf("%v got a frame with mask bit %v", p.side, f.Header.Masked)
		}
		if f.Header.Masked {
			f = ws.UnmaskFrame(f)
		}
		got = append(got, msg{op: f.Header.OpCode, fin: f.Header.Fin, rsv: f.Header.Rsv, payload: string(f.Payload)})
	}
	return got
}

// A msg is one frame.
type msg struct {
	op      ws.OpCode
	fin     bool
	rsv     byte
	payload string
}

func text(s string) msg { return msg{op: ws.OpText, fin: true, payload: s} }
func bin(s string) msg  { return msg{op: ws.OpBinary, fin: true, payload: s} }
func ping(s string) msg { return msg{op: ws.OpPing, fin: true, payload: s} }
func pong(s string) msg { return msg{op: ws.OpPong, fin: true, payload: s} }

// bye is a Close with a code and a reason; code 0 is an empty one.
func bye(code int, reason string) msg {
	if code == 0 {
		return msg{op: ws.OpClose, fin: true}
	}
	return msg{op: ws.OpClose, fin: true, payload: string(ws.NewCloseFrameBody(ws.StatusCode(code), reason))}
}

func (m msg) unfinished() msg { m.fin = false; return m }

func (m msg) continued(s string) msg { return msg{op: ws.OpContinuation, fin: true, payload: s} }

func (m msg) equal(n msg) bool {
	return m.op == n.op && m.fin == n.fin && m.rsv == n.rsv && m.payload == n.payload
}

func (m msg) encode(masked bool) []byte {
	f := ws.NewFrame(m.op, m.fin, []byte(m.payload))
	f.Header.Rsv = m.rsv
	if masked {
		f = ws.MaskFrameWith(f, [4]byte{1, 2, 3, 4})
	}
	return ws.MustCompileFrame(f)
}

func (m msg) String() string {
	if m.op == ws.OpClose && len(m.payload) >= 2 {
		code, reason := ws.ParseCloseFrameData([]byte(m.payload))
		return fmt.Sprintf("close(%d %q)", code, reason)
	}
	p := m.payload
	if len(p) > 40 {
		p = fmt.Sprintf("%s… %d bytes", p[:40], len(p))
	}
	return fmt.Sprintf("{op %#x fin %v rsv %d %q}", byte(m.op), m.fin, m.rsv, p)
}
