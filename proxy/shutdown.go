package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/heartbeat"
)

// A Stop says how a drain ends what the server has.
type Stop struct {
	Delay   time.Duration // goes by first: the server is not ready, and accepts clients as before
	Spread  time.Duration // the sessions are sent their Close over this time, evenly
	Timeout time.Duration // what is left is cut when so much time has passed after the Spread
}

// AtOnce returns the Stop without a Delay and without a Spread. Its Timeout lets the deadline
// of each session's close be the judge: a Close that waits for the end of a message takes
// half as long again (leg.defersClose), and the loop may be a little late.
func AtOnce(closeTimeout time.Duration) Stop {
	return Stop{Timeout: closeTimeout + closeTimeout/2 + time.Second}
}

// Longest returns how long a Stop takes at most.
func (s Stop) Longest() time.Duration { return s.Delay + s.Spread + s.Timeout }

// A timetable says when the steps of a drain are due.
type timetable struct {
	refuse heartbeat.Time // clients are refused, and the sessions' Closes begin
	told   heartbeat.Time // every session has been sent its Close
	cut    heartbeat.Time // what is left is cut
}

// from returns the timetable of a Stop that begins now.
func (s Stop) from(now heartbeat.Time) timetable {
	refuse := now.Add(s.Delay)
	told := refuse.Add(s.Spread)
	return timetable{refuse, told, told.Add(s.Timeout)}
}

// sooner returns the timetable in which each step is due at the earlier of its times in t
// and u.
func (t timetable) sooner(u timetable) timetable {
	return timetable{min(t.refuse, u.refuse), min(t.told, u.told), min(t.cut, u.cut)}
}

// A drain ends all that the server has when it begins, and refuses the clients that come
// later. It is the same whether Drain or Shutdown begins it. Shutdown can bring its steps
// forward.
type drain struct {
	refuses chan struct{} // closed when the loops refuse clients
	over    chan struct{} // closed when nothing is left that the drain waits for
	news    chan struct{} // has an item if due has changed
	cut     int           // sessions; written before over is closed

	mu    sync.Mutex
	due   timetable
	stops bool // Shutdown was called
}

func newDrain() drain {
	return drain{refuses: make(chan struct{}), over: make(chan struct{}), news: make(chan struct{}, 1)}
}

var errShutdown = errors.New("the proxy is shutting down")

// Draining reports whether Drain or Shutdown was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// Accepts reports whether new clients are let in. Of a drain they are until the Delay has
// passed.
func (s *Server) Accepts() bool {
	select {
	case <-s.drain.refuses:
		return false
	case <-s.drain.over:
		return false
	default:
		return true
	}
}

// Drain begins to end what the server has, as how says, and returns at once. Unlike
// Shutdown it leaves the listener open: from the end of the Delay on, clients are refused
// with 503. If a drain has begun already, Drain changes nothing.
func (s *Server) Drain(how Stop) {
	if s.beginDrain(how) {
		s.beside(s.runDrain)
	}
}

// beginDrain makes the drain begin, and returns true, unless one has begun already. The
// caller runs the drain then.
func (s *Server) beginDrain(how Stop) (begins bool) {
	d := &s.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	d.due = how.from(s.clock.now())
	s.draining.Store(true)
	s.cfg.Metrics.SetDraining(true)
	s.pages.Retire()
	return true
}

// Drained returns a channel that is closed when a drain has ended all that it had to.
func (s *Server) Drained() <-chan struct{} { return s.drain.over }

// DrainLeft returns how long a drain takes from now on at most. It is 0 if there is no
// drain, or if it is over.
func (s *Server) DrainLeft() time.Duration {
	d := &s.drain
	select {
	case <-d.over:
		return 0
	default:
	}
	due, _ := s.drainDue() // the zero timetable if there is no drain
	return max(0, due.cut.Sub(s.clock.now()))
}

// drainDue returns when the steps of the drain are due, and whether Shutdown was called.
func (s *Server) drainDue() (due timetable, stops bool) {
	d := &s.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.due, d.stops
}

// Shutdown drains the server as how says, closes the listener, and makes Run return. If a
// drain has begun already, Shutdown goes on from there: a step comes when it was due, or
// when it is due by how if that is sooner. When ctx is done, all that is left is cut at
// once. cut is how many sessions had to be cut, before Shutdown was called or afterwards,
// while they lived or while their close was not complete. A session whose peer has not
// answered the Close within CloseTimeout is not one of them. A second call returns an error.
func (s *Server) Shutdown(ctx context.Context, how Stop) (cut int, err error) {
	if !s.stop() {
		return 0, errors.New("proxy: Shutdown was called before")
	}
	if s.beginDrain(how) {
		s.beside(s.runDrain)
	} else {
		s.hurry(how)
	}
	defer context.AfterFunc(ctx, func() { s.hurry(Stop{}) })()

	d := &s.drain
	select {
	case <-d.refuses:
	case <-d.over: // it has panicked
	}
	s.onEveryLoop((*loop).shutDoor)
	<-d.over
	patience, cancel := context.WithTimeout(ctx, how.Timeout)
	defer cancel()
	s.awaitEmpty(patience, &s.live) // late clients are still being told
	s.onEveryLoop(func(l *loop) { l.cutAll() })
	s.awaitEmpty(context.Background(), &s.live)
	s.end() // not earlier: a request under way may still dial
	s.onEveryLoop(func(l *loop) { l.inbox.stop() })
	return d.cut, nil
}

// stop notes that Shutdown ends the server. It returns false if Shutdown was called before.
func (s *Server) stop() (first bool) {
	d := &s.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	first = !d.stops
	d.stops = true
	return first
}

// hurry brings the drain's steps forward to when they are due by how.
func (s *Server) hurry(how Stop) {
	s.drain.mu.Lock()
	defer s.drain.mu.Unlock()
	s.drain.due = s.drain.due.sooner(how.from(s.clock.now()))
	select {
	case s.drain.news <- struct{}{}:
	default:
	}
}

// runDrain takes the drain from step to step.
func (s *Server) runDrain() {
	d := &s.drain
	defer close(d.over)
	s.passDelay()
	told := s.tellSessions(heartbeat.Never)
	close(d.refuses)
	patience, cutPages := context.WithCancel(context.Background())
	defer cutPages()
	var pages sync.WaitGroup
	pages.Go(func() { s.endPages(patience) })
	s.awaitSessions(told)

	cutPages()
	pages.Wait()
	s.relays.cut()
	var short atomic.Int64
	s.onEveryLoop(func(l *loop) { short.Add(int64(l.cutAll())) })
	s.awaitEmpty(context.Background(), &s.kept)
	d.cut = int(short.Load())
}

// passDelay waits until clients are to be refused.
func (s *Server) passDelay() {
	for s.ended.Err() == nil {
		due, _ := s.drainDue()
		if s.clock.now() >= due.refuse {
			return
		}
		s.awaitNews(due.refuse)
	}
}

// tellSessions makes the loops refuse clients and end their sessions, if that is due
// before told. It returns by when the sessions are told now.
func (s *Server) tellSessions(told heartbeat.Time) heartbeat.Time {
	tell, by := s.telling(told)
	if tell != nil {
		s.onEveryLoop(tell)
	}
	return by
}

// telling returns what tellSessions makes each loop do, or nil if that is nothing, and by
// when the sessions are told then.
func (s *Server) telling(told heartbeat.Time) (tell func(*loop), by heartbeat.Time) {
	due, stops := s.drainDue()
	if due.told >= told {
		return nil, told
	}
	spread := max(0, due.told.Sub(s.clock.now()))
	return func(l *loop) {
		if stops {
			l.shutDoor() // first: a client that is told must not find the door open
		}
		l.drain(spread)
	}, due.told
}

// awaitSessions waits until nothing is left that the drain waits for, or until that is to
// be cut. told is by when the sessions are told their end, see tellSessions.
func (s *Server) awaitSessions(told heartbeat.Time) {
	for s.kept.Load() > 0 && s.ended.Err() == nil {
		due, _ := s.drainDue()
		if s.clock.now() >= due.cut {
			return
		}
		s.awaitNews(due.cut)
		told = s.tellSessions(told)
	}
}

// awaitNews waits until a time, or until something has happened to the drain.
func (s *Server) awaitNews(until heartbeat.Time) {
	waited, cancel := context.WithTimeout(s.ended, until.Sub(s.clock.now()))
	defer cancel()
	select {
	case <-s.drain.news:
	case <-s.emptied:
	case <-waited.Done():
	}
}

// endPages waits for the requests under way that are not upgrades, and cuts them when ctx
// is done.
func (s *Server) endPages(ctx context.Context) {
	if cut := s.pages.Shutdown(ctx); cut > 0 {
		s.cfg.Log.Warn("requests that did not end in time were cut", "requests", cut)
	}
}

// awaitEmpty waits until count is 0, which is live or kept.
func (s *Server) awaitEmpty(ctx context.Context, count *atomic.Int64) {
	for count.Load() > 0 {
		select {
		case <-s.emptied:
		case <-ctx.Done():
			return
		case <-s.ended.Done(): // a loop has failed, and takes its clients with it
			return
		}
	}
}
