package proxy

import (
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/frame"
	"holdfast/proxy/internal/secure"
)

// A loop drives many sessions from one goroutine. Only that goroutine touches the loop
// and the sessions in its table, except where a field says otherwise. Other goroutines
// hand it jobs with post.
type loop struct {
	// Static after construction.
	server   *Server
	cfg      *Config
	rules    [2]heartbeat.Rules // by side
	grids    [2]heartbeat.Grid  // the steps of the pings, by side
	patience patience
	backoff  time.Duration // the bound on the kernel's wait before it retransmits
	limits   frame.Limits  // of data frames and messages
	apps     [2]appRules   // by side
	metrics  *metrics.Loop
	log      *slog.Logger
	clock    func() heartbeat.Time
	kernel   kernel
	epoll    *epoll.Poller // what run waits with, the same as the kernel's; nil if a test turns the loop

	// Owned by the loop.
	now      heartbeat.Time // of this turn
	table    table
	extras   []*extras // by slot; nil if sessions have none
	wheel    *heartbeat.Wheel
	tails    tailPool
	random   random
	scratch  *secure.Scratch // for TLS; nil until the first TLS connection
	tlsQueue *queue          // clients that wait for their TLS handshake
	busy     []*queue        // the queues in which somebody may wait

	// handshakes and pages that wait to dial a target, and how many places each of these
	// queues has
	dialQueues map[*backend.Target]*queue
	dialPlaces int
	listener   *listener // set on the one loop that accepts
	draining   bool      // no client gets a session, and every session is to end
	shut       bool      // draining, and no client is accepted either
	alarms     int       // timers that went off
	bustle     bustle
	unseen     int // events since timers last ran, while more may be waiting
	absence    absence
	ready      []epoll.Event
	left       []epoll.Event // those that are still to be handled
	faults     faults
	frame      frame.ControlFrame             // scratch
	text       [frame.MaxGathered]byte        // scratch: a message that is looked at
	own        [2 * frame.MaxGathered]byte    // scratch: the text of an answer to a message, or a frame of ours that is sent at once
	in         [frame.MaxHeld + readSize]byte // scratch: the bytes held back, and one read behind them; or a head that is built

	sessions atomic.Int64 // in the table; the server reads it to choose a loop
	owesTurn atomic.Bool  // Turned has asked, and the loop has not turned since

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
		limits:   frame.LimitsOf(cfg.MaxFrameSize, cfg.MaxMessageSize),
		apps:     [2]appRules{client: newAppRules(&cfg.ClientApp, cfg.Client), upstream: newAppRules(&cfg.UpstreamApp, cfg.UpstreamSide)},
		patience: patience{write: cfg.WriteTimeout, close: cfg.CloseTimeout},
		absence:  absence{from: cfg.shortestAbsence()},
		metrics:  cfg.Metrics.NewLoop(),
		log:      cfg.Log,
		clock:    clock,
		kernel:   k,
		now:      clock(),
		table:    newTable(),
		wheel:    heartbeat.NewWheel(clock()),
		random:   random{source: source},

		tlsQueue:   newQueue(max(1, securedAtOnce/cfg.Loops), nil),
		dialQueues: make(map[*backend.Target]*queue),
		dialPlaces: max(1, dialsAtOnce/cfg.Loops),
	}
	l.inbox.wake = func() {} // a test that turns the loop itself needs no wake-up
	return l
}

// waitsWith sets the poller that run waits with.
func (l *loop) waitsWith(p *epoll.Poller) {
	l.epoll = p
	p.Try = l.poll
	l.inbox.wake = p.Wake
}

// turn is one pass of the loop: events, then timers, then the inbox. A panic ends the
// session that it came from, and the turn goes on, see panic.go.
func (l *loop) turn(now heartbeat.Time, events []epoll.Event) {
	l.now, l.left = now, events
	l.complete((*loop).dispatchAll)
	if l.countInput(len(events)) {
		l.complete((*loop).advance)
		l.absence.over()
	}
	l.complete((*loop).doJobs)
	l.examine()
}

// dispatchAll handles the events that are left.
func (l *loop) dispatchAll() {
	for len(l.left) > 0 {
		ev := l.left[0]
		l.left = l.left[1:]
		l.dispatch(ev)
	}
}

// advance lets the timers go off that are due, behind the events that an alarm has polled
// and a panic has left.
func (l *loop) advance() {
	l.dispatchAll()
	l.faults.duty = ownDuty
	l.wheel.Advance(l.now, l.alarm)
}

// doJobs runs the jobs of other goroutines, and then those that wait for a place.
func (l *loop) doJobs() {
	l.runJobs()
	l.faults.duty = ownDuty
	l.callNext()
}

func (l *loop) runJobs() {
	l.inbox.take()
	for job := l.inbox.next(); job != nil; job = l.inbox.next() {
		l.faults.duty = jobDuty
		job()
	}
}

// countInput counts events and reports whether timers may run. Input comes before timers:
// a deadline must not pass while the sign of life is waiting to be read. A full batch
// means that more may be waiting. Then timers wait until as many events were handled as
// there are descriptors, so that each had its chance.
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
	l.faults.duty = ownDuty
	if ev.Woken() {
		return
	}
	if ev.Token == listenerToken {
		l.acceptAll()
		return
	}
	s, side := l.table.find(ev.Token)
	if s == nil {
		return // the session has ended in this turn
	}
	l.serve(s)
	if s.opening != nil {
		l.openingReady(s, side, ev.Ready)
	} else {
		l.legReady(s, side, ev.Ready)
	}
	l.update(s)
}

// legReady handles an event on a leg of an open session.
func (l *loop) legReady(s *session, side Side, ready epoll.Ready) {
	g := &s.legs[side]
	if ready&(epoll.Out|epoll.Broken) != 0 && g.tail != nil {
		l.writable(s, side)
	}
	if ready&(readInterest|epoll.Broken) != 0 && g.io != nil && !g.paused && !l.slowed(s, side) {
		l.readable(s, side)
	}
	if s.cause.kind != live {
		l.settle(s)
	}
}

// post gives the loop a job, see inbox.post.
func (l *loop) post(job func()) bool { return l.inbox.post(job) }
