package proxy

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/panics"
	"holdfast/metrics"
)

// A panic on a loop ends one session: the one that the loop was busy with. The others of
// the loop go on. Each panic is counted, and the first of each place is logged with its
// stack (internal/panics).
//
// complete catches the panic and continues the turn where it was. What remains to be done
// is kept in the loop for that: the events in left, the timers in the wheel, the jobs in
// the inbox. The duty says what a panic is to be laid to. If that is the loop's own state,
// or if the examination afterwards finds that the loop's counts do not add up, the loop is
// broken: run returns an error, and the process ends.
//
// A panic beside the loops ends its job. Whoever waits for the job is told of an error, as
// of any other.

// A duty is what a loop is busy with.
type duty uint8

const (
	ownDuty     duty = iota // its own state: the table, the wheel, the queues, the poller
	acceptDuty              // the listener, or a client that has no session yet
	jobDuty                 // a job of another goroutine that is for no session
	sessionDuty             // a session or a handshake
)

// faults is what a loop knows for the case of a panic, and what a panic has left.
type faults struct {
	duty    duty
	session *session // whom sessionDuty is for

	// unsure says for each leg of that session that the loop does not know how far the
	// leg's stream has come. So a Close could land in the middle of a frame.
	unsure [2]bool

	suspect   bool           // there was a panic, and no examination since
	examineAt heartbeat.Time // no examination before
	broken    error          // why the loop cannot go on; nil if it can
}

// serve notes that the loop works for s from now on.
func (l *loop) serve(s *session) {
	f := &l.faults
	f.duty, f.session = sessionDuty, s
	f.unsure = [2]bool{}
}

// doubt notes that the stream of a leg is about to be unknown. The caller sets unsure
// back to what doubt has returned when the stream is known again.
func (l *loop) doubt(side Side) (before bool) {
	before = l.faults.unsure[side]
	l.faults.unsure[side] = true
	return before
}

// complete does a step of the loop. After a panic it continues with the rest of the step.
func (l *loop) complete(step func(*loop)) {
	for l.faults.broken == nil && !l.attempt(step) {
	}
}

// attempt does a step of the loop, and returns false if it has panicked.
func (l *loop) attempt(step func(*loop)) (done bool) {
	defer l.recovers()
	step(l)
	l.faults.duty = ownDuty
	return true
}

// forEach does work for every session. A panic ends the session that it came from.
func (l *loop) forEach(work func(*session)) {
	l.table.all(func(s *session) {
		l.attempt(func(l *loop) {
			l.serve(s)
			work(s)
		})
	})
	l.faults.duty = jobDuty
}

// doLastJobs runs the jobs that are left when the loop ends.
func (l *loop) doLastJobs() {
	for !l.attempt((*loop).runJobs) {
	}
}

// recovers is deferred. It ends a panic, and what the panic is to be laid to.
func (l *loop) recovers() {
	value := recover()
	if value == nil {
		return
	}
	summary := l.server.panics.Caught(value, debug.Stack())
	f := &l.faults
	at := f.duty
	f.duty, f.suspect = ownDuty, true
	switch at {
	case sessionDuty:
		l.endFaulty(f.session, summary)
	case acceptDuty:
		if err := l.server.panics.Guard(l.restIfOpen); err != nil {
			l.breaks(err) // the listener would be reported in every turn
		}
	case jobDuty: // the job is lost; the examination shows whether anything else is
	case ownDuty:
		l.breaks(errors.New(summary))
	}
}

// restIfOpen rests accepting, unless it is over.
func (l *loop) restIfOpen() {
	if l.listener.open {
		l.restAccept()
	}
}

// breaks makes the loop end.
func (l *loop) breaks(err error) {
	if l.faults.broken == nil {
		l.faults.broken = fmt.Errorf("event loop: %w", err)
	}
}

// wipes is how often endFaulty tries to wipe a session. Each panic on the way takes one
// step with it: two jobs that are given up, two connections that are closed, and the end.
const wipes = 8

// endFaulty ends a session that has panicked. If that panics too, the session is wiped.
func (l *loop) endFaulty(s *session, summary string) {
	guard := l.server.panics.Guard
	err := guard(func() {
		l.dropFaulty(s, summary)
		l.update(s)
	})
	for range wipes {
		if err == nil {
			return
		}
		err = guard(func() { l.wipe(s, summary) })
	}
	l.breaks(err)
}

// dropFaulty ends a session or a handshake that has panicked. What the peers still send is
// not passed on: the loop may have lost some of it. A leg is told why, unless its stream
// may end inside a frame. A session that is ending already is not given more time: what
// has panicked once may panic at every step.
func (l *loop) dropFaulty(s *session, summary string) {
	unsure := l.faults.unsure
	switch {
	case !l.table.holds(s):
		return
	case s.opening != nil:
		l.abandon(s, metrics.ResultInternal, "handshake", errors.New(summary))
		return
	}
	for _, side := range sides {
		l.dropWrittenTail(&s.legs[side], side)
	}
	unsaid := unsure[client] || unsure[upstream] || s.legs[client].tail != nil || s.legs[upstream].tail != nil
	for _, side := range sides {
		if s.legs[side].in == inOpen {
			s.legs[side].finishes()
		}
		if unsure[side] {
			l.cut(s, side)
		}
	}
	fault := cause{kind: dropped, side: proxy, reason: metrics.Internal, detail: &summary}
	switch s.cause.kind {
	case live:
		l.drop(s, fault, nil)
		return
	case closing:
		beginner := s.cause.side
		s.cause = fault
		l.say(s, beginner, farewell{how: tellDead, code: s.legs[beginner].closeIn})
	case closed:
		if unsaid { // the second Close may not have left
			s.cause = fault
		}
	case dropped:
	}
	l.giveAllUp(s)
	l.settle(s)
}

// dropWrittenTail drops a tail of which nothing is left to write: the panic came between
// the write and what follows it. The socket would be reported as writable in every turn.
func (l *loop) dropWrittenTail(g *leg, side Side) {
	if g.tail != nil && len(g.tail.bytes()) == 0 {
		l.dropTail(g, side)
		g.flushed(l.now, &l.patience)
	}
}

// wipe closes what is left of a session, tells nobody, and counts it. After a panic it can
// be called again: each step has then taken what it closes out of the session.
func (l *loop) wipe(s *session, summary string) {
	switch {
	case !l.table.holds(s):
		return
	case s.opening != nil:
		l.cutOpening(s)
		return
	}
	if s.cause.kind == live || s.cause.kind == closing {
		s.cause = cause{kind: dropped, side: proxy, reason: metrics.Internal, detail: &summary}
	}
	for _, side := range sides {
		l.cut(s, side)
	}
	l.finish(s)
}

// examineEvery is how long after an examination the next one may follow, which looks at
// every session of the loop.
const examineEvery = time.Second

// examine looks after a panic whether the loop's counts agree with what the loop holds,
// and whether whatever waits has a deadline and a timer. If not, the loop is broken.
func (l *loop) examine() {
	f := &l.faults
	if !f.suspect || f.broken != nil || l.now < f.examineAt {
		return
	}
	f.suspect, f.examineAt = false, l.now.Add(examineEvery)
	l.attempt(func(l *loop) {
		if _, err := l.auditAll(nil); err != nil {
			l.breaks(fmt.Errorf("after a panic: %w", err))
		}
	})
}

// guardedBy returns w with jobs whose panics book records.
func (w world) guardedBy(book *panics.Book) world {
	beside, after := w.beside, w.after
	w.beside = func(job func()) {
		beside(func() { _ = book.Guard(job) }) // the panic is recorded
	}
	w.after = func(d time.Duration, job func()) {
		after(d, func() { _ = book.Guard(job) }) // the panic is recorded
	}
	return w
}
