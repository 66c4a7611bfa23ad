package proxy

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/wire"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/peraddress"
)

// knocks connects a client that asks for an upgrade.
func (st *stage) knocks() *peer {
	st.t.Helper()
	p := st.connects()
	p.sendsString(wire.Request())
	return p
}

// connects connects a client that says nothing yet.
func (st *stage) connects() *peer {
	st.t.Helper()
	p := st.peer(client)
	st.server.live.Add(1)
	st.l.sessions.Add(1)
	st.l.now = st.now
	st.l.accepted(st.corks(p.far), netip.MustParseAddrPort("192.0.2.1:1234"), peraddress.Uncounted, nil)
	return p
}

// Wherever a read ends within the head, it is the same request.
func TestHeadByBytes(t *testing.T) {
	st := newStage(t, nil)
	p := st.connects()
	asks := wire.Request()
	last := len(asks) - 1
	for i := range last {
		p.sendsString(asks[i : i+1])
	}
	if got := p.told(); got != "" {
		t.Fatalf("before the end of the head the client is told %q", got)
	}
	p.sendsString(asks[last:])
	if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") { // nobody listens upstream
		t.Errorf("the client is told %.40q", got)
	}
}

// told is what a client has got so far.
func (p *peer) told() string {
	p.read()
	return string(p.got)
}

// A refusal leaves in one segment with our end of the stream.
func TestRefusalLeavesWithTheEnd(t *testing.T) {
	st := newStage(t, nil)
	p := st.knocks() // nobody listens upstream
	if got := string(st.legs[0].last); got == "" || got != p.told() {
		t.Errorf("written as the last: %q, of %q", got, p.told())
	}
}

// A place that becomes free goes to the one who has waited longest; who has
// left meanwhile is passed over.
func TestLineIsServedInOrder(t *testing.T) {
	st := newStage(t, nil)
	st.l.dialQueue.places = 0
	first, second, third := st.knocks(), st.knocks(), st.knocks()
	first.hangsUp()
	st.counts(map[string]float64{`holdfast_handshakes_total{result="client_gone"}`: 1})

	st.l.dialQueue.places = 1
	st.run() // nobody listens there, so each in turn is refused and makes room for the next
	for _, p := range []*peer{second, third} {
		if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
			t.Errorf("a client whose turn has come is told %.40q", got)
		}
	}
	if st.l.dialQueue.places != 1 || len(st.l.dialQueue.waiting) != 0 {
		t.Errorf("%d places, %d waiting; want 1 and 0", st.l.dialQueue.places, len(st.l.dialQueue.waiting))
	}
}

func TestLineHasAnEnd(t *testing.T) {
	st := newStage(t, nil)
	st.l.dialQueue.places = 0
	p := st.knocks()
	st.pass(st.server.cfg.HandshakeTimeout - time.Second)
	if got := p.told(); got != "" {
		t.Fatalf("told too early: %q", got)
	}
	st.pass(time.Second)
	if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "Retry-After: ") {
		t.Errorf("a client that waited in vain is told %q", got)
	}
	st.counts(map[string]float64{`holdfast_handshakes_total{result="limit"}`: 1})
	st.l.dialQueue.places = 1
	st.run()
	if st.l.dialQueue.places != 1 {
		t.Error("a place was given to somebody who has left")
	}
}

// Who comes while others wait does not pass them, even if a place is free for a moment.
func TestLineIsNotJumped(t *testing.T) {
	st := newStage(t, nil)
	st.l.dialQueue.places = 0
	waits := st.knocks()
	st.l.dialQueue.places = 1
	comes := st.peer(client)
	st.server.live.Add(1)
	st.l.sessions.Add(1)
	st.l.now = st.now
	st.l.accepted(bare(comes.far), netip.MustParseAddrPort("192.0.2.2:1234"), peraddress.Uncounted, nil)
	comes.sendsString(wire.Request())
	if got := len(st.l.dialQueue.waiting); got != 0 {
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
func TestLineForgetsWhoLeft(t *testing.T) {
	st := newStage(t, nil)
	st.l.dialQueue.places = 0
	stays := st.knocks()
	for range 10 * sweepFrom {
		st.knocks().hangsUp()
	}
	if got := len(st.l.dialQueue.waiting); got > sweepFrom+1 {
		t.Errorf("%d are remembered, though one waits", got)
	}
	st.l.dialQueue.places = 1
	st.run()
	if got := stays.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Errorf("the one who stayed is told %.40q", got)
	}
}

// crampedKernel is a kernel that has no room for another registration.
type crampedKernel struct{ kernel }

func (crampedKernel) Add(int, epoll.Token, epoll.Ready) error { return unix.ENOSPC }

// A client that cannot be listened to is gone at once, whatever else is going on.
func TestNoRoomInThePoller(t *testing.T) {
	for _, draining := range []bool{false, true} {
		st := newStage(t, nil)
		st.l.kernel = crampedKernel{st.l.kernel}
		st.l.draining = draining
		p := st.peer(client)
		st.server.live.Add(1)
		st.l.sessions.Add(1)
		st.l.accepted(bare(p.far), netip.MustParseAddrPort("192.0.2.1:1234"), peraddress.Uncounted, nil)
		if got := p.told(); got != "" || !p.ended {
			t.Errorf("draining %v: the client is told %q, and its connection has ended: %v", draining, got, p.ended)
		}
		st.counts(map[string]float64{`holdfast_handshakes_total{result="internal"}`: 1, `holdfast_handshakes_total{result="draining"}`: 0})
		if st.l.table.live != 0 || st.server.live.Load() != 0 {
			t.Error("the session is left behind")
		}
	}
}

// Requests for pages stand in the queue of handshakes: in order, and who leaves
// it, or has dialled, leaves nothing behind.
func TestPagesStandInTheQueue(t *testing.T) {
	st := newStage(t, nil)
	st.l.dialQueue.places = 0
	page := func() *pageTicket {
		p := &pageTicket{come: make(chan struct{})}
		st.l.lineUp(p)
		return p
	}
	come := func(p *pageTicket) bool {
		select {
		case <-p.come:
			return true
		default:
			return false
		}
	}
	early, leaves, handshake, late := page(), page(), st.knocks(), page()
	st.l.leaveQueue(leaves)
	st.run()
	if come(early) || handshake.told() != "" {
		t.Fatal("somebody went on without a place")
	}
	st.l.dialQueue.places = 1
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
	if st.l.dialQueue.places != 1 || len(st.l.dialQueue.waiting) != 0 {
		t.Errorf("%d places, %d waiting; want 1 and 0", st.l.dialQueue.places, len(st.l.dialQueue.waiting))
	}
}

// Requests for pages that wait are bounded in number.
func TestPagesInLineAreBounded(t *testing.T) {
	st := newStage(t, nil)
	st.server.pagesWaiting.Store(pagesQueued)
	if _, err := st.server.awaitPlace(t.Context()); err != errQueuedTooLong {
		t.Errorf("one too many gets %v, want %v", err, errQueuedTooLong)
	}
	if got := st.server.pagesWaiting.Load(); got != pagesQueued {
		t.Errorf("afterwards %d are counted, want %d", got, pagesQueued)
	}
}

// A handshake that ends while the upstream's name is looked up is not remembered
// by the lookup, which all share.
func TestLookupForgetsWhoLeft(t *testing.T) {
	ctx, answers := t.Context(), make(chan struct{})
	var lookups, told atomic.Int64
	st := newStage(t, func(cfg *Config) {
		cfg.Upstream.Host = "service.example:1"
		cfg.find = func(context.Context, string) ([]netip.Addr, error) {
			lookups.Add(1)
			select {
			case <-answers:
			case <-ctx.Done():
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
	})
	for range 10 {
		st.knocks().hangsUp()
	}
	stays := st.knocks()
	wake := st.l.inbox.wake
	st.l.inbox.wake = func() { told.Add(1); wake() } // the lookup tells each by a job, the last one last
	close(answers)
	for stays.told() == "" { // the test's own timeout bounds this
		st.run()
	}
	if got := stays.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") { // nobody listens there
		t.Errorf("the one who stayed is told %.40q", got)
	}
	if got := told.Load(); got > 1 {
		t.Errorf("%d are told what the lookup has found, though one waits", got)
	}
	if got := lookups.Load(); got != 1 {
		t.Errorf("the name was looked up %d times, want once for all", got)
	}
}
