package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"holdfast/metrics"
)

// Shutdown stops accepting, sends a Close to every session, and waits for the answers:
// for CloseTimeout at most, or until ctx is done. Then it cuts what is left. cut is how
// many sessions were cut before their close was complete. Run returns afterwards. A
// second call returns an error.
func (s *Server) Shutdown(ctx context.Context) (cut int, err error) {
	if s.draining.Swap(true) {
		return 0, errors.New("proxy: Shutdown was called before")
	}
	s.cfg.Metrics.SetDraining(true)
	s.onEveryLoop((*loop).drain)
	patience, cancel := context.WithTimeout(ctx, s.cfg.CloseTimeout)
	defer cancel()
	var pages sync.WaitGroup
	pages.Go(func() { s.endPages(patience) })
	s.awaitEmpty(patience)

	pages.Wait()
	s.relays.cut()
	s.onEveryLoop((*loop).cutAll)
	s.awaitEmpty(context.Background())
	s.end() // not earlier: a request under way may still dial
	var short atomic.Int64
	s.onEveryLoop(func(l *loop) {
		short.Add(int64(l.shortEnds))
		l.inbox.stop()
	})
	return int(short.Load()), nil
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

// drain starts the end of every session of the loop.
func (l *loop) drain() {
	l.draining = true
	l.attempt((*loop).stopAccept)
	l.forEach(func(s *session) {
		if s.opening == nil {
			l.end(s, proxy, metrics.Drain)
		} else if stop := s.opening.step().stop; stop != nil {
			stop(l, s)
		}
		l.update(s)
	})
}

var errShutdown = errors.New("the proxy is shutting down")

// cutAll closes every session and every handshake of the loop.
func (l *loop) cutAll() {
	l.forEach(func(s *session) {
		if s.opening != nil {
			l.abandon(s, metrics.ResultDraining, "shutdown", errShutdown)
			return
		}
		l.end(s, proxy, metrics.Drain)
		if s.cause.kind == closing {
			s.cause = cause{kind: dropped, side: proxy, reason: metrics.Drain, detail: new("cut before the other side's Close was answered")}
		}
		for _, side := range sides {
			l.cutShort(s, side)
		}
		l.settle(s)
	})
}
