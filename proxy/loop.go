package proxy

import (
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/frame"
	"holdfast/proxy/internal/secure"
)

// A loop drives many sessions from one goroutine. Everything in it, and every
// session in its table, is touched by that goroutine alone; others hand it
// work with post. The exceptions are said at the fields.
type loop struct {
	// Static after construction.
	server   *Server
	cfg      *Config
	rules    [2]heartbeat.Rules // by side
	grids    [2]heartbeat.Grid  // of the pings of each side
	patience patience
	backoff  time.Duration // that the kernel's waits are bounded to
	longest  frame.Limit   // of data frames
	metrics  *metrics.Loop
	log      *slog.Logger
	clock    func() heartbeat.Time
	kernel   kernel
	epoll    *epoll.Poller // what run waits with: the kernel's; nil where a test turns the loop

	// Owned by the loop.
	now       heartbeat.Time // of this turn
	table     table
	wheel     *heartbeat.Wheel
	tails     tailPool
	random    random
	scratch   *secure.Scratch // for TLS; nil until there was any
	tlsQueue  queue           // of clients, for their TLS handshake
	dialQueue queue           // of those who are to be connected to the upstream
	listener  *listener       // of the one loop that accepts
	draining  bool
	shortEnds int // sessions that a drain had to cut
	alarms    int // timers that went off
	bustle    bustle
	unseen    int // events since timers last ran, while more were waiting
	ready     []epoll.Event
	frame     frame.ControlFrame             // scratch
	in        [frame.MaxHeld + readSize]byte // scratch: what was held back, and one read behind it; or a head that is built

	sessions atomic.Int64 // in the table; read by the server to place new ones

	inbox inbox // for any goroutine
}

func newLoop(server *Server, k kernel, source io.Reader) *loop {
	clock := server.clock.now
	cfg := &server.cfg
	l := &loop{
		server:   server,
		cfg:      cfg,
		rules:    [2]heartbeat.Rules{client: cfg.Client, upstream: cfg.UpstreamSide},
		grids:    [2]heartbeat.Grid{client: heartbeat.GridFor(cfg.Client.Interval), upstream: heartbeat.GridFor(cfg.UpstreamSide.Interval)},
		backoff:  cfg.longestBackoff(),
		longest:  frame.LimitOf(cfg.MaxFrameSize),
		patience: patience{write: cfg.WriteTimeout, close: cfg.CloseTimeout},
		metrics:  cfg.Metrics.NewLoop(),
		log:      cfg.Log,
		clock:    clock,
		kernel:   k,
		now:      clock(),
		table:    newTable(),
		wheel:    heartbeat.NewWheel(clock()),
		random:   random{source: source},

		tlsQueue:  newQueue(max(1, securedAtOnce/cfg.Loops)),
		dialQueue: newQueue(max(1, dialsAtOnce/cfg.Loops)),
	}
	l.inbox.wake = func() {} // who turns the loop looks by himself
	return l
}

// waitsWith gives the loop what it waits with in run.
func (l *loop) waitsWith(p *epoll.Poller) {
	l.epoll = p
	p.Try = l.poll
	l.inbox.wake = p.Wake
}

// turn is one pass of the loop: events, then timers, then the inbox.
func (l *loop) turn(now heartbeat.Time, events []epoll.Event) {
	l.now = now
	for _, ev := range events {
		l.dispatch(ev)
	}
	if l.countInput(len(events)) {
		l.wheel.Advance(now, l.alarm)
	}
	l.inbox.run()
	l.callNext()
}

// countInput counts events, and reports whether timers may run. Input comes before
// timers, so that nothing expires whose sign of life is waiting unread. A full batch
// means that more may wait, until as many events were handled as there are
// descriptors: then each had its chance.
func (l *loop) countInput(events int) bool {
	l.unseen += events
	if events == l.kernel.Max() && l.unseen < 2*l.table.live {
		return false
	}
	l.unseen = 0
	return true
}

// dispatch hands an event to its session.
func (l *loop) dispatch(ev epoll.Event) {
	if ev.Woken() {
		return
	}
	if ev.Token == listenerToken {
		l.acceptAll()
		return
	}
	s, side := l.table.find(ev.Token)
	if s == nil {
		return // of a session that has ended in this turn
	}
	if s.opening != nil {
		l.openingReady(s, side, ev.Ready)
	} else {
		l.legReady(s, side, ev.Ready)
	}
	l.update(s)
}

// legReady handles a ready descriptor of an open session.
func (l *loop) legReady(s *session, side Side, ready epoll.Ready) {
	g := &s.legs[side]
	if ready&(epoll.Out|epoll.Broken) != 0 && g.tail != nil {
		l.writable(s, side)
	}
	if ready&(readInterest|epoll.Broken) != 0 && g.io != nil && !g.paused {
		l.readable(s, side)
	}
	if s.cause.kind != live {
		l.settle(s)
	}
}

// post has a job run by the loop's goroutine, see inbox.
func (l *loop) post(job func()) bool { return l.inbox.post(job) }
