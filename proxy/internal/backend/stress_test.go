package backend

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
)

// A storm is a pool that many goroutines use at once. Its time goes on with each use, and
// its names, checks and dials have random answers.
type storm struct {
	*Pool
	t    *testing.T
	now  atomic.Int64
	jobs sync.WaitGroup
	due  chan func() // jobs of later
	seen sync.Map    // every *Target that a route has led to
}

func newStorm(t *testing.T, by BalanceBy) *storm {
	s := &storm{t: t, due: make(chan func(), 10000)}
	s.now.Store(int64(time.Hour))
	cfg := configOf(t, "ws://one.example", "ws://two.example", "ws://192.0.2.9", "ws://localhost")
	cfg.Balance = Balance{By: by, Name: "X-Key"}
	cfg.SlowStart = 30 * time.Second
	cfg.DialTimeout = 5 * time.Second
	cfg.Health.Interval = 10 * time.Second
	cfg.Clock = func() heartbeat.Time { return heartbeat.Time(s.now.Load()) }
	cfg.Beside = func(job func()) { s.jobs.Go(job) }
	cfg.After = func(_ time.Duration, job func()) {
		select {
		case s.due <- job:
		default:
			t.Error("jobs pile up: more are planned than are run")
		}
	}
	cfg.Find = func(_ context.Context, host string) (addrs []netip.Addr, err error) {
		switch rand.IntN(8) {
		case 0:
			return nil, errServerFails
		case 1:
			return nil, errNoHost
		}
		for i := range byte(4) {
			if rand.IntN(2) == 0 {
				addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, i}), netip.AddrFrom16([16]byte{0x20, 1, 15: i}))
			}
		}
		return addrs, nil
	}
	cfg.Probe = func(*Target) error { return randomError() }
	s.Pool = newPool(t, cfg)
	return s
}

func randomError() error {
	return []error{nil, nil, errRefused, ErrTimeout, context.Canceled}[rand.IntN(5)]
}

// asks is one client: it follows a route, and opens a session if a dial comes through.
func (s *storm) asks() {
	route := s.Route(request("X-Key", string(rune('a'+rand.IntN(26)))), netip.AddrFrom4([4]byte{203, 0, 113, byte(rand.IntN(256))}))
	for {
		now := heartbeat.Time(s.now.Add(int64(time.Duration(rand.IntN(100)) * time.Millisecond)))
		switch route.Next(now) {
		case End:
			if _, err := route.Err(); err == nil {
				s.t.Error("a route has ended without an error")
			}
			return
		case Wait:
			s.waits()
		case Try:
			s.seen.Store(route.To, true)
			if s.dials(&route, now) {
				return
			}
		}
	}
}

// waits waits for a lookup, or leaves before it ends.
func (s *storm) waits() {
	ended := make(chan struct{})
	forgo := s.Await(func() { close(ended) })
	switch {
	case forgo == nil:
	case rand.IntN(4) == 0:
		forgo()
	default:
		<-ended
		forgo()
	}
}

// dials dials the route's target, and reports whether the client is content.
func (s *storm) dials(route *Route, now heartbeat.Time) bool {
	defer route.To.Leave()
	if route.Better(now) {
		route.Skipped(errRefused)
		return false
	}
	route.Share(now)
	if err := randomError(); err != nil {
		route.Missed(err)
		return false
	}
	route.To.Learn(nil)
	route.To.Sessions(1)
	route.To.Sessions(-1)
	return true
}

// Whatever many goroutines do at once, all counts are 0 when all have ended, and no scrape
// fails.
func TestStorm(t *testing.T) {
	for _, by := range []BalanceBy{LeastSessions, RoundRobin, HashHeader} {
		s := newStorm(t, by)
		stop := make(chan struct{})
		var others, clients sync.WaitGroup
		until := func(job func()) {
			others.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						job()
					}
				}
			})
		}
		s.Watch()
		others.Go(func() { s.runsDue(stop) })
		until(func() { fixture.Counted(t, s.cfg.Metrics.Registry()) })
		until(func() {
			names := [...]string{"one.example:80", "two.example:80", "192.0.2.9:80", "localhost:80"}
			s.SetDrained(names[rand.IntN(len(names))], [...]string{"", "192.0.2.1:80"}[rand.IntN(2)], rand.IntN(2) == 0)
		})
		for range 16 {
			clients.Go(func() {
				for range 300 {
					s.asks()
				}
			})
		}
		clients.Wait()
		close(stop)
		others.Wait()
		s.jobs.Wait()
		s.seen.Range(func(target, _ any) bool {
			if t := target.(*Target); t.load.Load() != 0 || t.sessions.Load() != 0 {
				s.t.Errorf("rule %d: %v has the load %d and %d sessions at the end", by, t, t.load.Load(), t.sessions.Load())
			}
			return true
		})
		for _, b := range s.backends {
			if n := len(b.leavers()); n > 0 {
				t.Errorf("rule %d: %d targets of %s leave at the end, and have no sessions", by, n, b.name)
			}
		}
	}
}

// runsDue runs the jobs that were to come later.
func (s *storm) runsDue(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case job := <-s.due:
			job()
		}
	}
}

// A target that moves from the answers to those that leave is shown once, by every scrape
// that comes meanwhile.
func TestScrapesWhileAnswersChange(t *testing.T) {
	answer := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	cfg := configOf(t, "ws://service.example")
	p := newPool(t, cfg)
	b := p.backends[0]
	b.setTargets(answer)
	b.all()[0].take()
	var scrapes sync.WaitGroup
	stop := make(chan struct{})
	scrapes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if n := len(p.Targets()); n != 2 {
					t.Errorf("%d targets are shown, want 2", n)
				}
			}
		}
	})
	for i := range 5000 {
		b.setTargets(answer[i%2:])
		p.publish()
	}
	close(stop)
	scrapes.Wait()
}
