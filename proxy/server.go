package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/socket"
	"holdfast/proxy/internal/web"
)

// A Server accepts clients and spreads their sessions over its loops.
type Server struct {
	// Static after New.
	cfg      Config
	pool     *backend.Pool
	ended    context.Context    // done when nothing is to run beside the loops any more
	end      context.CancelFunc // of what runs beside the loops: probes, lookups, trim
	listener *listener
	loops    []*loop
	limit    int64 // sessions at once, handshakes included
	room     int64 // clients at once, whatever they want: what the descriptors allow
	pageRoom int64 // of them those who may be with the server of pages at once
	options  socket.Options
	trust    forwarded.Trust
	clock    clock

	live         atomic.Int64  // clients: sessions, handshakes, and those who left their loop for a refusal or a page
	guests       atomic.Int64  // of them those who are with the server of pages
	ids          atomic.Uint64 // of the session opened last
	leaves       atomic.Uint64 // sessions and handshakes that have ended
	pagesWaiting atomic.Int64  // requests for pages that wait for their turn to dial
	turns        atomic.Uint64 // requests for pages that have waited: the loops' lines have them by turns
	draining     atomic.Bool
	emptied      chan struct{} // has an item when live may have fallen to 0 while draining

	perAddress *peraddress.Table
	relays     relays
	pages      *web.Server // requests that are not upgrades
}

// New binds the listener and makes the loops; Run starts them.
func New(cfg Config) (*Server, error) {
	if cfg.Loops == 0 {
		cfg.Loops = epoll.Processors
	}
	clock := newClock()
	s, err := newServer(cfg, clock.now)
	if err != nil {
		return nil, err
	}
	s.clock = clock
	if err := s.open(); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// newServer makes a server without a listener and without loops: for these see
// open, or addLoop with an invented kernel.
func newServer(cfg Config, now func() heartbeat.Time) (*Server, error) {
	ended, end := context.WithCancel(context.Background())
	s := &Server{
		cfg:        cfg,
		ended:      ended,
		end:        end,
		emptied:    make(chan struct{}, 1),
		options:    cfg.socketOptions(),
		listener:   &listener{fd: -1},
		trust:      forwarded.Trust{Prefixes: cfg.TrustedProxies, Unix: cfg.TrustUnix},
		perAddress: peraddress.New(cfg.MaxSessionsPerIP),
	}
	service, err := backend.New(ended, s.backendConfig(now))
	if err != nil {
		end()
		return nil, err
	}
	s.pool = backend.NewPool(service)
	s.pages = web.New(s.webConfig())
	s.setRoom(OwnDescriptors(cfg.Loops).Clients())
	return s, nil
}

// backendConfig is what the service behind the proxy is told.
func (s *Server) backendConfig(now func() heartbeat.Time) backend.Config {
	return backend.Config{
		URL:         s.cfg.Upstream,
		TLS:         s.cfg.UpstreamTLS,
		Find:        s.cfg.find,
		Options:     s.options,
		DialTimeout: s.cfg.DialTimeout,
		Clock:       now,
		Log:         s.cfg.Log,
		Metrics:     s.cfg.Metrics,
	}
}

// setRoom says how many clients there may be at once, whatever they want.
func (s *Server) setRoom(room int64) {
	s.room, s.limit = room, room
	if s.cfg.MaxSessions > 0 {
		s.limit = min(s.limit, int64(s.cfg.MaxSessions))
	}
	s.pageRoom = roomForPages(s.room, s.limit)
	s.cfg.Metrics.SetSessionsLimit(int(s.limit))
}

// open binds the listener and makes the loops.
func (s *Server) open() (err error) {
	if s.listener, err = listen(&s.cfg, s.options); err != nil {
		return err
	}
	for range s.cfg.Loops {
		p, err := epoll.New()
		if err != nil {
			s.listener.close()
			for _, l := range s.loops {
				_ = l.epoll.Close() // the first error is the one to tell
			}
			return fmt.Errorf("event loop: %w", err)
		}
		s.addLoop(linux{p, s.options}, s.clock.now, rand.Reader).waitsWith(p)
	}
	return nil
}

// addLoop adds a loop over a kernel, with its clock and its source of random bytes.
// The first loop accepts.
func (s *Server) addLoop(k kernel, now func() heartbeat.Time, source io.Reader) *loop {
	l := newLoop(s, k, now, source)
	if len(s.loops) == 0 {
		l.listener = s.listener
	}
	s.loops = append(s.loops, l)
	return l
}

// Addr is the address that clients are accepted on.
func (s *Server) Addr() net.Addr { return s.listener.addr }

// Draining reports whether Shutdown was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// UpstreamUp reports whether the upstream accepted the last connection, or none
// was tried yet.
func (s *Server) UpstreamUp() bool { return s.pool.Up() }

// Sessions is the number of clients: with a session, a handshake under way, or
// requests that are not upgrades.
func (s *Server) Sessions() int { return int(s.live.Load()) }

// Run drives the loops until Shutdown has emptied them. An error is fatal: a
// loop could not go on.
func (s *Server) Run() error {
	errs := make([]error, len(s.loops))
	epoll.Employ(len(s.loops))
	defer epoll.Employ(-len(s.loops))
	var running sync.WaitGroup
	s.loops[0].post(s.loops[0].startAccept)
	running.Go(func() { s.trim(s.ended) })
	for i, l := range s.loops {
		running.Go(func() {
			if errs[i] = l.run(); errs[i] != nil {
				s.end()
				s.onEveryLoop(func(l *loop) { l.inbox.stop() }) // the sessions of one loop cannot live without it
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// Shutdown stops accepting, sends a Close to every session and waits for the
// answers: CloseTimeout at the most, or until ctx is done. Then what is left
// is cut, and cut says how many sessions that were. Run returns afterwards. A
// second call is an error.
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
	s.end() // not before: those who are left may still dial
	var short atomic.Int64
	s.onEveryLoop(func(l *loop) {
		short.Add(int64(l.shortEnds))
		l.inbox.stop()
	})
	return int(short.Load()), nil
}

// endPages waits for the requests under way that are not upgrades.
func (s *Server) endPages(ctx context.Context) {
	if cut := s.pages.Shutdown(ctx); cut > 0 {
		s.cfg.Log.Warn("requests were cut that did not end in time", "requests", cut)
	}
}

// onEveryLoop runs a job on each loop and waits until all have done it.
func (s *Server) onEveryLoop(job func(*loop)) {
	var done sync.WaitGroup
	for _, l := range s.loops {
		done.Add(1)
		if !l.post(func() { defer done.Done(); job(l) }) {
			done.Done()
		}
	}
	done.Wait()
}

func (s *Server) awaitEmpty(ctx context.Context) {
	for s.live.Load() > 0 {
		select {
		case <-s.emptied:
		case <-ctx.Done():
			return
		}
	}
}

// nextID numbers a session.
func (s *Server) nextID() uint64 { return s.ids.Add(1) }

// entered counts a client that was accepted, and reports whether it is one too many.
func (s *Server) entered() (full bool) {
	s.live.Add(1)
	return s.exceeds(0)
}

// full reports whether the descriptors allow no client more.
func (s *Server) full() bool { return s.live.Load() >= s.room }

// exceeds reports whether there are more clients than may be, and some. Those who
// ask for pages take descriptors, but no session.
func (s *Server) exceeds(some int64) bool {
	live := s.live.Load()
	return live > s.room+some || live-s.guests.Load() > s.limit+some
}

// guestLeaves counts a client that goes to the server of pages. It returns false,
// and counts nothing, if as many are there as may be and none of them is idle.
func (s *Server) guestLeaves() bool {
	if s.guests.Add(1) > s.pageRoom && !s.pages.Yield() {
		s.guests.Add(-1)
		return false
	}
	s.roomMade()
	return true
}

// guestReturns counts a client that comes back for a session, and reports
// whether it is one too many.
func (s *Server) guestReturns() (full bool) {
	s.guests.Add(-1)
	return s.exceeds(0)
}

// guestGone counts a client that does not come back.
func (s *Server) guestGone(g *web.Guest) {
	s.guests.Add(-1)
	s.left(g.From.Addr(), seatOf(g))
}

// refusedAtOnce is how many clients beyond the limit may be on their way to
// being refused at one time.
const refusedAtOnce = 64

// crowded reports whether one more client would use descriptors that others need.
func (s *Server) crowded() bool { return s.exceeds(refusedAtOnce - 1) }

// left counts a client that is gone, with all its descriptors. It is the one end of
// what place began.
func (s *Server) left(from netip.Addr, seat peraddress.Seat) {
	s.perAddress.Leave(from, seat)
	s.leaves.Add(1)
	if s.live.Add(-1) == 0 && s.draining.Load() {
		select {
		case s.emptied <- struct{}{}:
		default:
		}
	}
	s.roomMade()
}

// roomMade has accepting go on if it has paused.
func (s *Server) roomMade() {
	if s.listener.paused.Load() {
		accepting := s.loops[0]
		accepting.post(accepting.resumeAccept)
	}
}

// place chooses the loop for a new client: the one with the fewest.
func (s *Server) place() *loop {
	best := s.loops[0]
	for _, l := range s.loops[1:] {
		if l.sessions.Load() < best.sessions.Load() {
			best = l
		}
	}
	return best
}

// drain begins the end of every session of the loop.
func (l *loop) drain() {
	l.draining = true
	l.stopAccept()
	l.table.all(func(s *session) {
		if s.opening == nil {
			l.end(s, proxy, metrics.Drain)
		} else if stop := s.opening.step().stop; stop != nil {
			stop(l, s)
		}
		l.update(s)
	})
}

var errShutdown = errors.New("the proxy is shutting down")

// cutAll closes everything.
func (l *loop) cutAll() {
	l.table.all(func(s *session) {
		if s.opening != nil {
			l.abandon(s, metrics.ResultDraining, "shutdown", errShutdown)
			return
		}
		l.end(s, proxy, metrics.Drain)
		for _, side := range sides {
			l.cutShort(s, side)
		}
		l.settle(s)
	})
}
