package proxy

import (
	"errors"
	"iter"
	"maps"
	"slices"

	"holdfast/proxy/internal/backend"
)

// A queue bounds how many of a loop's clients are at a costly step at one time. The
// others wait. So a storm of clients, as after a restart, takes longer, but it overruns
// neither the upstream's listen queue nor the memory of this process.
type queue struct {
	size    int             // all places; static
	target  *backend.Target // whose dials wait here; nil for TLS handshakes; static
	places  int             // free places
	lent    int             // places that requests for pages have
	waiting []waiter
	sweepAt int // length of waiting at which enqueue removes those that have left
}

func newQueue(size int, target *backend.Target) *queue {
	return &queue{size: size, target: target, places: size, sweepAt: sweepFrom}
}

// A waiter waits in a queue: a handshake, or a page's dial (pages.go).
type waiter interface {
	// waits reports whether it still waits for a place.
	waits(l *loop) bool
	// begin continues with a place in the queue at.
	begin(l *loop, at *queue)
	// goesOn continues without a place: the target that it waits for is down, and another
	// one may be up.
	goesOn(l *loop)
}

// A ticket is a handshake that waits in the queue at; next continues it.
type ticket struct {
	s    *session
	at   *queue
	next func(*loop, *session)
}

const (
	// dialsAtOnce bounds how many connections to one target are being made, by all loops
	// together. The listen queues of common servers have room for 100 to 4,096. A
	// handshake leaves the queue when it is connected: a path whose answers are slow must
	// not hold up all others.
	dialsAtOnce = 512
	// securedAtOnce bounds the clients' TLS handshakes under way, of all loops together.
	// Each has a goroutine.
	securedAtOnce = 1024
)

var errQueuedTooLong = errors.New("too many handshakes were under way")

// claim takes a place and continues with next. If no place is free, the handshake waits
// for one in the state waiting, until the deadline of its present step.
func (l *loop) claim(s *session, at *queue, waiting openingState, next func(*loop, *session)) {
	if at.full() {
		s.opening.state = waiting
		l.enqueue(at, ticket{s, at, next})
		return
	}
	at.places--
	s.opening.place = at
	next(l, s)
}

// full reports whether a newcomer has to wait.
func (at *queue) full() bool { return at.places == 0 || len(at.waiting) > 0 }

// sweepFrom is the least sweepAt.
const sweepFrom = 64

// enqueue adds a waiter to a queue. Clients may come and leave faster than the queue
// moves, so those that have left are removed from time to time.
func (l *loop) enqueue(at *queue, next waiter) {
	if len(at.waiting) >= at.sweepAt {
		at.waiting = slices.DeleteFunc(at.waiting, func(w waiter) bool { return !w.waits(l) })
		at.sweepAt = max(sweepFrom, 2*len(at.waiting))
	}
	if !slices.Contains(l.busy, at) {
		l.busy = append(l.busy, at)
	}
	at.waiting = append(at.waiting, next)
}

// dialQueueOf returns the queue of a target. Each has its own, so that the dials of a
// target that does not answer do not hold up those of others.
func (l *loop) dialQueueOf(t *backend.Target) *queue {
	at := l.dialQueues[t]
	if at == nil {
		l.dropQueues()
		at = newQueue(l.dialPlaces, t)
		l.dialQueues[t] = at
	}
	return at
}

// dropQueues drops the queues of targets that have gone, and that nobody uses.
func (l *loop) dropQueues() {
	maps.DeleteFunc(l.dialQueues, func(t *backend.Target, at *queue) bool {
		return t.Gone() && at.places == at.size && len(at.waiting) == 0
	})
}

// queues returns all queues of the loop.
func (l *loop) queues() iter.Seq[*queue] {
	return func(yield func(*queue) bool) {
		if !yield(l.tlsQueue) {
			return
		}
		for _, at := range l.dialQueues {
			if !yield(at) {
				return
			}
		}
	}
}

// callAway lets those who wait for a target that is down go on to another one.
func (l *loop) callAway(t *backend.Target) {
	at := l.dialQueues[t]
	if at == nil || t.Up() {
		return
	}
	for range len(at.waiting) { // those that stay go to the end, and keep their order
		if w := at.first(); w.waits(l) {
			w.goesOn(l)
		}
	}
}

// goesOn goes on to another target if one is up. Otherwise the handshake goes on waiting.
func (t ticket) goesOn(l *loop) {
	s := t.s
	l.serve(s)
	if s.opening.route.Better(l.now) {
		l.passOver(s, s.opening.route.Amiss(l.now))
	} else {
		l.enqueue(t.at, t)
	}
	l.update(s)
}

// waits reports whether the handshake still waits in this queue: it may wait in that of
// another target.
func (t ticket) waits(l *loop) bool {
	s := t.s
	return l.table.holds(s) && s.opening != nil && s.opening.step().queues && s.target == t.at.target
}

// vacate gives back a handshake's place, if it has one.
func (l *loop) vacate(s *session) {
	if o := s.opening; o != nil && o.place != nil {
		o.place.places++
		o.place = nil
	}
}

// callNext gives free places to those that wait.
func (l *loop) callNext() {
	if len(l.busy) == 0 {
		return
	}
	for i := 0; i < len(l.busy); i++ { // who begins may come to wait in another queue
		at := l.busy[i]
		for at.places > 0 && len(at.waiting) > 0 {
			l.faults.duty = ownDuty
			if next := at.first(); next.waits(l) {
				at.places--
				next.begin(l, at)
			}
		}
	}
	l.busy = slices.DeleteFunc(l.busy, func(at *queue) bool { return len(at.waiting) == 0 })
}

// first removes the first of those that wait.
func (at *queue) first() waiter {
	w := at.waiting[0]
	at.waiting[0] = nil
	at.waiting = at.waiting[1:]
	return w
}

// begin continues a handshake. Its deadline restarts; otherwise it could time out as soon
// as it has a place.
func (t ticket) begin(l *loop, at *queue) {
	s := t.s
	l.serve(s)
	s.opening.place = at
	s.opening.by = l.now.Add(l.cfg.HandshakeTimeout)
	t.next(l, s)
	l.update(s)
}
