package proxy

import (
	"errors"
	"slices"
)

// A queue bounds how many of a loop's clients are at a costly step at one time.
// The others wait their turn: a storm of clients, as after a restart, takes
// longer, and overruns neither the upstream's queue nor this process's memory.
type queue struct {
	size    int // places in all; static
	places  int // not taken
	waiting []waiter
	sweepAt int // how long waiting may grow before those who have left are swept out
}

func newQueue(size int) queue { return queue{size: size, places: size, sweepAt: sweepFrom} }

// A waiter is somebody in a queue: a handshake, or a page's dial (pages.go).
type waiter interface {
	// waits reports whether it still waits for its turn.
	waits(l *loop) bool
	// begin goes on, with a place.
	begin(l *loop, at *queue)
}

// A ticket is a handshake that waits in a queue, and how it goes on.
type ticket struct {
	s    *session
	next func(*loop, *session)
}

const (
	// dialsAtOnce bounds the connections to the upstream that are being made, in
	// all loops together. The listen queues of common servers have room for 100 to
	// 4,096. How long the upstream then takes to answer is no matter of the queue: a
	// path that answers late would hold up all others.
	dialsAtOnce = 512
	// securedAtOnce bounds the clients' TLS handshakes, in all loops together. Each
	// has a goroutine.
	securedAtOnce = 1024
)

var errQueuedTooLong = errors.New("too many handshakes were under way")

// claim takes a place and goes on with next, or waits in the given state until
// there is one, no longer than the present step may take.
func (l *loop) claim(s *session, at *queue, waiting openingState, next func(*loop, *session)) {
	if at.full() {
		s.opening.state = waiting
		l.enqueue(at, ticket{s, next})
		return
	}
	at.places--
	s.opening.place = at
	next(l, s)
}

// full reports whether who comes now has to wait.
func (at *queue) full() bool { return at.places == 0 || len(at.waiting) > 0 }

// sweepFrom is how many may wait before those who have left are looked for.
const sweepFrom = 64

// enqueue adds to a queue. Clients may come and leave faster than the queue moves.
func (l *loop) enqueue(at *queue, next waiter) {
	if len(at.waiting) >= at.sweepAt {
		at.waiting = slices.DeleteFunc(at.waiting, func(w waiter) bool { return !w.waits(l) })
		at.sweepAt = max(sweepFrom, 2*len(at.waiting))
	}
	at.waiting = append(at.waiting, next)
}

func (t ticket) waits(l *loop) bool {
	s := t.s
	return l.table.holds(s) && s.opening != nil && s.opening.step().queues
}

// vacate gives a handshake's place back, if it has one.
func (l *loop) vacate(s *session) {
	if o := s.opening; o != nil && o.place != nil {
		o.place.places++
		o.place = nil
	}
}

// callNext gives the places that have become free to those who wait.
func (l *loop) callNext() {
	for _, at := range []*queue{&l.tlsQueue, &l.dialQueue} {
		for at.places > 0 && len(at.waiting) > 0 {
			next := at.waiting[0]
			at.waiting[0] = nil
			at.waiting = at.waiting[1:]
			if next.waits(l) {
				at.places--
				next.begin(l, at)
			}
		}
	}
}

// begin lets a handshake go on. Its time begins anew: it is not to fail at once
// for having had patience.
func (t ticket) begin(l *loop, at *queue) {
	s := t.s
	s.opening.place = at
	s.opening.by = l.now.Add(l.cfg.HandshakeTimeout)
	t.next(l, s)
	l.update(s)
}
