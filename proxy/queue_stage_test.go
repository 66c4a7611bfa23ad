package proxy

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/socket"
	"holdfast/proxy/internal/upgrade"
)

// A place that becomes free goes to the client that has waited longest. A client that
// has left meanwhile is passed over.
func TestQueueIsServedInOrder(t *testing.T) {
	st := newStage(t, nil)
	st.l.queueOfOne().places = 0
	first, second, third := st.knocks(), st.knocks(), st.knocks()
	first.hangsUp()
	st.counts(map[string]float64{"handshakes_total{client_gone}": 1})

	st.l.queueOfOne().places = 1
	st.run() // nobody listens there, so each in turn is refused and makes room for the next
	for _, p := range []*peer{second, third} {
		if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
			t.Errorf("a client whose turn has come is told %.40q", got)
		}
	}
	if st.l.queueOfOne().places != 1 || len(st.l.queueOfOne().waiting) != 0 {
		t.Errorf("%d places, %d waiting; want 1 and 0", st.l.queueOfOne().places, len(st.l.queueOfOne().waiting))
	}
}

func TestWaitInTheQueueHasAnEnd(t *testing.T) {
	st := newStage(t, nil)
	st.l.queueOfOne().places = 0
	p := st.knocks()
	st.pass(st.server.cfg.HandshakeTimeout - time.Second)
	if got := p.told(); got != "" {
		t.Fatalf("told too early: %q", got)
	}
	st.pass(time.Second)
	if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "Retry-After: ") {
		t.Errorf("a client that waited in vain is told %q", got)
	}
	st.counts(map[string]float64{"handshakes_total{limit}": 1})
	st.l.queueOfOne().places = 1
	st.run()
	if st.l.queueOfOne().places != 1 {
		t.Error("a place was given to somebody who has left")
	}
}

// A client that comes while others wait does not pass them, even if a place is free
// for a moment.
func TestQueueIsNotJumped(t *testing.T) {
	st := newStage(t, nil)
	st.l.queueOfOne().places = 0
	waits := st.knocks()
	st.l.queueOfOne().places = 1
	comes := st.knocks()
	if got := len(st.l.queueOfOne().waiting); got != 0 {
		t.Errorf("%d wait though there is a place", got)
	}
	for _, p := range []*peer{waits, comes} {
		if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
			t.Errorf("a client whose turn has come is told %.40q", got)
		}
	}
	first, second := strings.Index(st.log.String(), "session=1 "), strings.Index(st.log.String(), "session=2 ")
	if first < 0 || second < first {
		t.Errorf("the turns were taken in another order:\n%s", st.log.String())
	}
}

// Clients that come and leave while nothing moves do not fill the memory.
func TestQueueForgetsWhoLeft(t *testing.T) {
	st := newStage(t, nil)
	st.l.queueOfOne().places = 0
	stays := st.knocks()
	for range 10 * sweepFrom {
		st.knocks().hangsUp()
	}
	if got := len(st.l.queueOfOne().waiting); got > sweepFrom+1 {
		t.Errorf("%d are remembered, though one waits", got)
	}
	st.l.queueOfOne().places = 1
	st.run()
	if got := stays.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Errorf("the one who stayed is told %.40q", got)
	}
}

// Requests for pages stand in the queue of handshakes, in order. One that leaves the
// queue, or has dialled, leaves nothing behind.
func TestPagesStandInTheQueue(t *testing.T) {
	st := newStage(t, nil)
	st.l.queueOfOne().places = 0
	to := st.server.oneTarget()
	to.Leave()
	came := map[*pageTicket]bool{}
	page := func() *pageTicket {
		p := &pageTicket{}
		p.come = func() { came[p] = true }
		st.l.lineUp(p, to)
		return p
	}
	come := func(p *pageTicket) bool { return came[p] }
	early, leaves, handshake, late := page(), page(), st.knocks(), page()
	st.l.leaveQueue(leaves)
	st.run()
	if come(early) || handshake.told() != "" {
		t.Fatal("somebody went on without a place")
	}
	st.l.queueOfOne().places = 1
	st.run()
	if !come(early) || come(late) || handshake.told() != "" {
		t.Fatal("the place did not go to who came first")
	}
	st.l.leaveQueue(early)
	st.run() // nobody listens upstream, so the handshake makes room at once
	if got := handshake.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Errorf("the handshake behind the page is told %.40q", got)
	}
	if !come(late) || come(leaves) {
		t.Error("the place went to who has left, or to nobody")
	}
	st.l.leaveQueue(late)
	st.l.leaveQueue(late)
	if st.l.queueOfOne().places != 1 || len(st.l.queueOfOne().waiting) != 0 {
		t.Errorf("%d places, %d waiting; want 1 and 0", st.l.queueOfOne().places, len(st.l.queueOfOne().waiting))
	}
}

// Requests for pages that wait are bounded in number.
func TestPagesInTheQueueAreBounded(t *testing.T) {
	st := newStage(t, nil)
	st.server.pagesWaiting.Store(pagesQueued)
	if _, err := st.server.awaitPlace(t.Context(), &backend.Route{}); err != errPagesQueued {
		t.Errorf("one too many gets %v, want %v", err, errPagesQueued)
	}
	if got := st.server.pagesWaiting.Load(); got != pagesQueued {
		t.Errorf("afterwards %d are counted, want %d", got, pagesQueued)
	}
}

// Each target has its own queue: those who wait for one that goes down go on to another
// one, and none of its dials takes a place of the other's.
func TestQueueOfATargetThatGoesDown(t *testing.T) {
	dead := fixture.Deaf(t)
	alive := listening(t, netip.MustParseAddrPort("127.0.0.1:0"))
	st := newStage(t, func(cfg *Config) {
		cfg.Upstreams = []Upstream{
			{URL: &url.URL{Scheme: "ws", Host: dead.String()}},
			{URL: &url.URL{Scheme: "ws", Host: alive.Addr().String()}},
		}
		cfg.Balance.By, cfg.HealthInterval = RoundRobin, -1
	})
	silent := st.server.oneTarget() // the first turn
	silent.Leave()
	st.server.oneTarget().Leave() // the turn of the other
	at := st.l.dialQueueOf(silent)
	at.places = 0
	waits := st.knocks()
	came := false
	page := &pageTicket{come: func() { t.Error("a page has a place of the target that is down") }, away: func() { came = true }}
	route := st.server.pool.Route(&upgrade.Request{}, netip.Addr{})
	route.Next(st.now)
	if route.To == silent {
		t.Fatal("the page's turn is the silent target's")
	}
	route.Next(st.now) // it is the silent target's turn again
	page.route = &route
	st.l.lineUp(page, silent)
	st.knocks()
	alive.wantsDial("the other target has a queue of its own")
	if waits.told() != "" || len(at.waiting) != 2 {
		t.Fatalf("%d wait for the silent target, want 2; the first is told %.40q", len(at.waiting), waits.told())
	}
	for range 3 {
		silent.Learn(backend.ErrTimeout)
	}
	st.run()
	alive.wantsDial("the one who has waited goes on")
	if !came || len(at.waiting) != 0 {
		t.Errorf("the page goes on: %v; %d wait still", came, len(at.waiting))
	}
}

// A handshake that has waited too long for a place at its target goes on to another one that
// is up, and is refused only at the end of all. Its place in the first queue is void.
func TestHandshakeThatWaitsTooLongGoesOn(t *testing.T) {
	busy := fixture.Deaf(t)
	other := listening(t, netip.MustParseAddrPort("127.0.0.1:0"))
	st := newStage(t, func(cfg *Config) {
		cfg.Upstreams = []Upstream{
			{URL: &url.URL{Scheme: "ws", Host: busy.String()}},
			{URL: &url.URL{Scheme: "ws", Host: other.Addr().String()}},
		}
		cfg.Balance.By, cfg.HealthInterval = RoundRobin, -1
	})
	first := st.server.oneTarget() // the first turn
	first.Leave()
	second := st.server.oneTarget()
	second.Leave()
	at, then := st.l.dialQueueOf(first), st.l.dialQueueOf(second)
	at.places, then.places = 0, 0
	client := st.knocks()
	st.pass(9 * time.Second)
	if got := client.told(); got != "" || len(then.waiting) != 0 {
		t.Fatalf("before its time is up, the client is told %.40q, and %d wait for the other target", got, len(then.waiting))
	}
	st.pass(time.Second)
	if got := client.told(); got != "" || len(then.waiting) != 1 {
		t.Fatalf("after 10 s the client is told %.40q, and %d wait for the other target", got, len(then.waiting))
	}
	at.places = 1
	st.run()
	if at.places != 1 || client.told() != "" {
		t.Error("the client, which has left the first queue, has its place")
	}
	st.pass(10 * time.Second)
	if got := client.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "too many handshakes") {
		t.Errorf("in the end the client is told %.200q", got)
	}
	log := st.log.String()
	for _, target := range []*backend.Target{first, second} {
		if want := target.Address() + ": " + errQueuedTooLong.Error(); !strings.Contains(log, want) {
			t.Errorf("the log does not say %q: %s", want, log)
		}
	}

	then.places = 1
	client = st.knocks()
	if client.told() != "" || len(then.waiting) != 0 {
		t.Error("a later client does not have the free place")
	}
	other.wantsDial("the later client")
}

// Each address of a name has its own queue.
func TestQueueOfEachAddress(t *testing.T) {
	st, silent, alive := halfSilent(t)
	st.knocks()
	st.looksUp()
	if st.dials(silent) != 1 {
		t.Fatal("the first turn is not the silent address's")
	}
	at := st.l.dialQueueOf(st.picked(silent))
	at.places = 0
	st.knocks()
	alive.wantsDial("the second turn is the other's, which has places")
	st.knocks()
	if len(at.waiting) != 1 {
		t.Errorf("%d wait for the silent address, want the one whose turn it is", len(at.waiting))
	}
	st.knocks()
	alive.wantsDial("those who wait for one address do not hold up those who go to the other")
	if len(at.waiting) != 1 {
		t.Errorf("%d wait for the silent address, want 1", len(at.waiting))
	}
}

// picked returns the target of that address, which a handshake must have.
func (st *stage) picked(at socket.Endpoint) (to *backend.Target) {
	st.t.Helper()
	st.l.table.all(func(s *session) {
		if s.target != nil && s.target.Endpoint() == at {
			to = s.target
		}
	})
	if to == nil {
		st.t.Fatalf("no handshake goes to %v", at)
	}
	return to
}
