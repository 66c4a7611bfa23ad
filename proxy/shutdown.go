package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
)

// A Stop says how Shutdown ends what the server has.
type Stop struct {
	Delay   time.Duration // goes by first: the server is not ready, and accepts clients as before
	Spread  time.Duration // the sessions are sent their Close over this time, evenly
	Timeout time.Duration // what is left is cut when so much time has passed after the Spread
}

// Longest returns how long a Stop takes at most.
func (s Stop) Longest() time.Duration { return s.Delay + s.Spread + s.Timeout }

// Shutdown ends the server as how says. When ctx is done, it goes on at once with the last
// step: it cuts what is left. cut is how many sessions had to be cut while they lived or
// while their close was not complete. A session whose peer has not answered the Close
// within CloseTimeout is not one of them. Run returns afterwards. A second call returns an
// error.
func (s *Server) Shutdown(ctx context.Context, how Stop) (cut int, err error) {
	if s.draining.Swap(true) {
		return 0, errors.New("proxy: Shutdown was called before")
	}
	s.cfg.Metrics.SetDraining(true)
	s.pages.Retire()
	sleep(ctx, how.Delay)
	s.onEveryLoop(func(l *loop) { l.drain(how.Spread) })
	patience, cancel := context.WithTimeout(ctx, how.Spread+how.Timeout)
	defer cancel()
	var pages sync.WaitGroup
	pages.Go(func() { s.endPages(patience) })
	s.awaitEmpty(patience)

	pages.Wait()
	s.relays.cut()
	var short atomic.Int64
	s.onEveryLoop(func(l *loop) { short.Add(int64(l.cutAll())) })
	s.awaitEmpty(context.Background())
	s.end() // not earlier: a request under way may still dial
	s.onEveryLoop(func(l *loop) { l.inbox.stop() })
	return int(short.Load()), nil
}

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	waited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-waited.Done()
}

// endPages waits for the requests under way that are not upgrades, and cuts them when ctx
// is done.
func (s *Server) endPages(ctx context.Context) {
	if cut := s.pages.Shutdown(ctx); cut > 0 {
		s.cfg.Log.Warn("requests that did not end in time were cut", "requests", cut)
	}
}

func (s *Server) awaitEmpty(ctx context.Context) {
	for s.live.Load() > 0 {
		select {
		case <-s.emptied:
		case <-ctx.Done():
			return
		case <-s.ended.Done(): // a loop has failed, and takes its clients with it
			return
		}
	}
}

// drain stops accepting, refuses the handshakes under way, and ends every session of the
// loop within spread: each in its own part of that time, at a moment drawn at random. So
// clients that connect again do not come all at once.
func (l *loop) drain(spread time.Duration) {
	l.draining = true
	l.attempt((*loop).stopAccept)
	sessions := 0
	l.forEach(func(s *session) {
		if s.opening == nil {
			sessions++
		} else if stop := s.opening.step().stop; stop != nil {
			stop(l, s)
			l.update(s)
		}
	})
	part := float64(spread) / float64(max(1, sessions))
	next := 0.0
	l.forEach(func(s *session) {
		if s.opening == nil {
			l.endBy(s, l.now.Add(time.Duration((next+l.random.Float64())*part)))
			l.update(s)
			next++
		}
	})
}

// endBy ends a live session for a drain at a moment, unless its time is over before.
func (l *loop) endBy(s *session, at heartbeat.Time) {
	switch {
	case s.cause.kind != live:
	case at <= l.now:
		l.end(s, proxy, metrics.Drain)
	case at < s.until:
		s.until, s.cause.reason = at, metrics.Drain
	}
}

var errShutdown = errors.New("the proxy is shutting down")

// cutAll closes every session and every handshake of the loop. It returns how many of the
// sessions had still to be told their end, or waited for a peer's answer.
func (l *loop) cutAll() (short int) {
	l.forEach(func(s *session) {
		if s.opening != nil {
			l.abandon(s, metrics.ResultDraining, "shutdown", errShutdown)
			return
		}
		l.end(s, proxy, metrics.Drain)
		if s.cause.kind == closing {
			s.cause = cause{kind: dropped, side: proxy, reason: metrics.Drain, detail: new("cut before the other side's Close was answered")}
		}
		if s.unfinished() {
			short++
		}
		for _, side := range sides {
			l.cut(s, side)
		}
		l.settle(s)
	})
	return short
}

// unfinished reports whether something is still to be written to a leg, or to be answered
// by its peer. A leg that only waits for the end of its peer's TCP, or that is broken, is
// finished.
func (s *session) unfinished() bool {
	for i := range s.legs {
		if g := &s.legs[i]; g.io != nil && g.out < outResting {
			return true
		}
	}
	return false
}
