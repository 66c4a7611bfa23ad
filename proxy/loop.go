package proxy

import (
	"fmt"
	"log/slog"
	"sync"
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
	server  *Server
	cfg     *Config
	rules   [2]heartbeat.Rules // by side
	grids   [2]grid            // of the pings of each side
	metrics *metrics.Loop
	log     *slog.Logger
	clock   func() heartbeat.Time
	epoll   *epoll.Poller
	poller  poller // epoll, or what a test puts in its place

	// Owned by the loop.
	now       heartbeat.Time // of this turn
	table     table
	wheel     *heartbeat.Wheel
	tails     tailPool
	random    random
	scratch   *secure.Scratch // for TLS; nil until there was any
	tlsLine   line            // of clients, for their TLS handshake
	dialLine  line            // of those who are to be connected to the upstream
	listener  *listener       // of the one loop that accepts
	draining  bool
	shortEnds int            // sessions that a drain had to cut
	alarms    int            // timers that went off
	hot       bool           // more events are likely to come soon
	wakes     int            // times that the loop was woken up by events, each soon after the one before
	woken     heartbeat.Time // the last time
	unseen    int            // events since timers last ran, while more were waiting
	ready     []epoll.Event
	frame     frame.ControlFrame             // scratch
	in        [frame.MaxHeld + readSize]byte // scratch: what was held back, and one read behind it

	sessions atomic.Int64 // in the table; read by the server to place new ones

	inbox struct {
		waiting atomic.Bool // there are jobs: spares every turn the lock
		mu      sync.Mutex
		jobs    []func()
		posters sync.WaitGroup // who have left a job, and are about to wake the loop
	}
	stopped atomic.Bool // no more jobs are taken; written under inbox.mu
}

func newLoop(server *Server, clock func() heartbeat.Time) (*loop, error) {
	p, err := epoll.New()
	if err != nil {
		return nil, fmt.Errorf("event loop: %w", err)
	}
	cfg := &server.cfg
	l := &loop{
		server:  server,
		cfg:     cfg,
		rules:   [2]heartbeat.Rules{client: cfg.Client, upstream: cfg.UpstreamSide},
		grids:   [2]grid{client: gridFor(cfg.Client.Interval), upstream: gridFor(cfg.UpstreamSide.Interval)},
		metrics: cfg.Metrics.NewLoop(),
		log:     cfg.Log,
		clock:   clock,
		epoll:   p,
		poller:  p,
		now:     clock(),
		table:   newTable(),
		wheel:   heartbeat.NewWheel(clock()),

		tlsLine:  newLine(max(1, securedAtOnce/cfg.Loops)),
		dialLine: newLine(max(1, dialsAtOnce/cfg.Loops)),
	}
	p.Try = l.poll
	return l, nil
}

// run turns the loop until stop is called.
func (l *loop) run() error {
	defer l.epoll.Close()
	defer l.inbox.posters.Wait() // or they would wake a closed descriptor
	defer l.runJobs()            // nobody who posted one may wait for it in vain
	defer l.stop()
	for !l.stopped.Load() {
		switch {
		case l.wheel.Next() <= l.now:
			l.poll() // what has come in is seen before any timer runs
			l.turn(l.now, l.ready)
		case l.hot:
			l.loiter()
		default:
			if err := l.park(); err != nil {
				return err
			}
		}
	}
	return nil
}

// park waits for events or for a timer, however long it takes, and handles them.
func (l *loop) park() error {
	ready, err := l.epoll.Park(l.alarmTime())
	if err != nil {
		return err
	}
	if !ready {
		l.poll() // the alarm went off: as in run
	}
	l.turn(l.now, l.ready)
	l.hot = ready && l.bustles()
	return nil
}

// bustle is after how many wake-ups in a row a loop loiters: more than a round
// trip has, which alone is not worth it.
const bustle = 4

// bustles reports whether the loop has been woken up again and again of late.
func (l *loop) bustles() bool {
	if l.now.Sub(l.woken) > epoll.Patience {
		l.wakes = 0
	}
	l.woken = l.now
	l.wakes++
	return l.wakes >= bustle
}

// loiter waits a moment in the kernel for what may follow on the events just
// handled, instead of parking at once, and handles it. Timers wait for a turn:
// they are judged by a time before the poll, and events by one after it.
func (l *loop) loiter() {
	ready, more, err := l.epoll.Loiter()
	l.look(ready, err)
	l.hot = more
	l.now = l.clock()
	for _, ev := range l.ready {
		l.dispatch(ev)
	}
	l.runJobs()
	l.admit()
}

// poll looks at the clock and then for events, in this order: what arrived
// before the time that a turn's timers are judged by is in the turn's events.
func (l *loop) poll() bool {
	l.now = l.clock()
	l.look(l.epoll.Poll())
	return len(l.ready) > 0
}

func (l *loop) look(ready []epoll.Event, err error) {
	if err != nil {
		panic(err) // the arguments are ours: EBADF, EFAULT and EINVAL are broken invariants
	}
	l.ready = ready
}

// alarmTime is when the next timer may be due; zero if there is none.
func (l *loop) alarmTime() time.Time {
	at := l.wheel.Next()
	if at == heartbeat.Never {
		return time.Time{}
	}
	return l.server.base.Add(time.Duration(at))
}

// turn is one pass of the loop: events, then timers, then the inbox.
func (l *loop) turn(now heartbeat.Time, events []epoll.Event) {
	l.now = now
	for _, ev := range events {
		l.dispatch(ev)
	}
	if l.inputSeen(len(events)) {
		l.wheel.Advance(now, l.alarm)
	}
	l.runJobs()
	l.admit()
}

// inputSeen reports whether timers may run: input comes before timers, so that
// nothing expires whose sign of life is waiting unread. A full batch means
// that more may wait, until as many events were handled as there are
// descriptors: then each had its chance.
func (l *loop) inputSeen(events int) bool {
	l.unseen += events
	if events == l.epoll.Max() && l.unseen < 2*l.table.live {
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

// update follows every step of a session: it brings the poller and the timer
// in line with what the session now waits for.
func (l *loop) update(s *session) {
	if !l.table.holds(s) {
		return
	}
	if s.opening == nil {
		l.watch(s)
	}
	if due := l.due(s); due < s.timer {
		s.timer = due
		l.wheel.Set(s.slot(), due)
	}
}

// alarm is called by the wheel. A session's timer may go off early, because
// its deadline has moved on meanwhile: then it is only set anew.
func (l *loop) alarm(slot uint32) {
	if slot == listenerSlot {
		l.resumeAccept()
		return
	}
	s := l.table.slots[slot].session
	if s == nil {
		return
	}
	s.timer = heartbeat.Never
	if l.now >= l.due(s) {
		l.expire(s)
	}
	l.update(s)
	l.breathe()
}

// alarmsInARow is how many timers go off before events are looked at again.
const alarmsInARow = 32

// breathe keeps a crowd of heartbeats that fall due together from holding up
// the frames of busy sessions, and takes in the first pongs with them.
func (l *loop) breathe() {
	if l.alarms++; l.alarms%alarmsInARow != 0 || !l.poll() {
		return
	}
	for _, ev := range l.ready {
		l.dispatch(ev)
	}
}

// expire handles the deadlines of a session that have come.
func (l *loop) expire(s *session) {
	switch {
	case s.opening != nil:
		l.openingTimeout(s)
	case s.cause.kind != live:
		l.overdue(s)
	default:
		l.expireLive(s)
	}
}

func (l *loop) expireLive(s *session) {
	for _, side := range sides {
		if !l.alive(s, side) {
			return
		}
	}
	switch {
	case l.now >= l.idleAt(s):
		l.end(s, proxy, metrics.IdleTimeout)
	case l.now >= s.oldAt:
		l.end(s, proxy, metrics.MaxDuration)
	}
}

// alive handles the deadlines of one leg of an open session, and reports
// whether the session is still live. A leg's socket is tried once more before
// the leg is given up.
func (l *loop) alive(s *session, side Side) bool {
	g := &s.legs[side]
	if g.stuck(l.now) || l.now >= g.by || g.beat.Overdue(l.now) {
		l.retry(s, side)
	}
	switch {
	case s.cause.kind != live:
	case g.out == outBroken && l.now >= g.by:
		l.lost(s, side, errUnread)
	case g.stuck(l.now):
		l.end(s, side, metrics.WriteTimeout)
	default:
		l.beat(s, side)
	}
	return s.cause.kind == live
}

// beat lets a leg's heartbeat act.
func (l *loop) beat(s *session, side Side) {
	switch s.legs[side].beat.Advance(l.now, l.grids[side].horizon(l.now)) {
	case heartbeat.None:
	case heartbeat.Ping:
		l.flush(s, side)
	case heartbeat.Expired:
		l.end(s, side, metrics.PingTimeout)
	}
}

// due is when the session's next deadline is.
func (l *loop) due(s *session) heartbeat.Time {
	if s.opening != nil {
		return s.opening.by
	}
	at := heartbeat.Never
	if s.cause.kind == live {
		at = min(l.idleAt(s), s.oldAt)
	}
	for _, side := range sides {
		g := &s.legs[side]
		at = min(at, g.by)
		if s.cause.kind != live {
			continue
		}
		at = min(at, l.nextBeat(g, side))
		if g.tail != nil {
			at = min(at, g.tail.moveBy)
		}
	}
	return at
}

// nextBeat is when a leg's heartbeat has something to do.
func (l *loop) nextBeat(g *leg, side Side) heartbeat.Time {
	next := g.beat.Next()
	if g.beat.Waiting() {
		next = l.grids[side].alarm(next)
	}
	return next
}

// idleAt is when a session will have carried no data for too long.
func (l *loop) idleAt(s *session) heartbeat.Time {
	if l.cfg.IdleTimeout == 0 {
		return heartbeat.Never
	}
	return s.lastData.Add(l.cfg.IdleTimeout)
}

// release frees a session's slot; nothing of it is used any more.
func (l *loop) release(s *session) {
	l.forget(s)
	l.server.left(s.remote.Addr(), s.seat)
}

// forget takes a session out of the loop. Its client and the client's seat are
// still counted.
func (l *loop) forget(s *session) {
	l.wheel.Cancel(s.slot())
	l.table.remove(s)
	l.sessions.Add(-1)
}

// post has a job run by the loop's goroutine. It may be called from any
// goroutine, and reports whether the job will run.
func (l *loop) post(job func()) bool {
	l.inbox.mu.Lock()
	taken := !l.stopped.Load()
	if taken {
		l.inbox.jobs = append(l.inbox.jobs, job)
		l.inbox.waiting.Store(true)
		l.inbox.posters.Add(1)
	}
	l.inbox.mu.Unlock()
	if taken { // not under the lock: the loop would wake up to wait for it
		l.epoll.Wake()
		l.inbox.posters.Done()
	}
	return taken
}

func (l *loop) runJobs() {
	if !l.inbox.waiting.Load() {
		return
	}
	l.inbox.mu.Lock()
	l.inbox.waiting.Store(false)
	jobs := l.inbox.jobs
	l.inbox.jobs = nil
	l.inbox.mu.Unlock()
	for _, job := range jobs {
		job()
	}
}

// stop ends run after the present turn. It is a job for post.
func (l *loop) stop() {
	l.inbox.mu.Lock()
	defer l.inbox.mu.Unlock()
	l.stopped.Store(true)
}
