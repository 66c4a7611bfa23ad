package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"holdfast/internal/panics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/ration"
	"holdfast/proxy/internal/socket"
	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

// A Server accepts clients and spreads their sessions over its loops.
type Server struct {
	// Static after New.
	cfg      Config
	name     string // the process's own, by which it knows a request that has passed it before
	pool     *backend.Pool
	ended    context.Context    // done when checks, lookups and trim must end
	end      context.CancelFunc // ends them
	listener *listener
	loops    []*loop
	pageRoom int64 // how many clients may be with the server of pages at once
	options  socket.Options
	trust    forwarded.Trust
	world

	inside       capacity      // clients, as the descriptors allow
	permits      capacity      // those of them with a handshake or a session, as the limit on sessions allows
	lobby        capacity      // clients that are being refused, on reserved descriptors
	live         atomic.Int64  // all clients: inside or in the lobby
	kept         atomic.Int64  // those of them that a drain waits for: all but the late ones
	guests       atomic.Int64  // those of them with the server of pages
	ids          atomic.Uint64 // the id of the last handshake that began
	leaves       atomic.Uint64 // clients that have left
	pagesWaiting atomic.Int64  // requests for pages that wait to dial
	turns        atomic.Uint64 // requests for pages that have waited; spreads them over the loops' queues
	looped       atomic.Bool   // a request has come back
	unbelieved   atomic.Bool   // the log has said that a peer names clients and is not trusted
	draining     atomic.Bool   // a drain has begun; written under drain.mu
	drain        drain
	walking      chan struct{} // has an item while onSlices walks
	emptied      chan struct{} // has an item if live or kept may have fallen to 0 while draining

	panics     *panics.Book
	rations    *ration.Book // of log lines that clients cause
	perAddress *peraddress.Table
	relays     relays
	pages      guests // requests that are not upgrades
}

// New binds the listener and makes the loops; Run starts them.
func New(cfg Config) (*Server, error) {
	if cfg.Loops == 0 {
		cfg.Loops = epoll.Processors
	}
	s, err := newServer(cfg, realWorld())
	if err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// newServer returns a Server without a listener and without loops. open adds both; a test
// calls addLoop with its own kernel.
func newServer(cfg Config, w world) (*Server, error) {
	ended, end := context.WithCancel(context.Background())
	book := panics.New(cfg.Log, cfg.Metrics.CountPanic)
	w = w.guardedBy(book)
	s := &Server{
		cfg:        cfg,
		name:       "holdfast-" + strings.ToLower(rand.Text()),
		world:      w,
		ended:      ended,
		end:        end,
		drain:      newDrain(),
		emptied:    make(chan struct{}, 1),
		walking:    make(chan struct{}, 1),
		options:    cfg.socketOptions(),
		listener:   &listener{fd: -1},
		panics:     book,
		rations:    ration.New(cfg.Log, w.clock.now, w.after),
		trust:      forwarded.Trust{Prefixes: cfg.TrustedProxies, Unix: cfg.TrustUnix},
		perAddress: peraddress.New(cfg.MaxSessionsPerIP),
	}
	s.ids.Store(w.ids)
	var err error
	if s.pool, err = backend.NewPool(ended, s.poolConfig()); err != nil {
		end()
		return nil, err
	}
	s.pool.WhenDown(s.callAway)
	s.pages = web.New(s.webConfig())
	d := OwnDescriptors(cfg.Loops)
	s.setRooms(d.Clients(), d.Refused())
	return s, nil
}

// poolConfig returns the configuration of the service behind the proxy.
func (s *Server) poolConfig() backend.Config {
	cfg := backend.Config{
		Balance:     s.cfg.Balance,
		SlowStart:   s.cfg.SlowStart,
		Find:        s.cfg.find,
		Options:     s.options,
		DialTimeout: s.cfg.DialTimeout,
		Health: backend.Health{
			Interval:      s.cfg.HealthInterval,
			Path:          s.cfg.HealthPath,
			Header:        s.cfg.UpstreamHeader,
			AnswerTimeout: s.cfg.DialTimeout,
			MaxHeaderSize: s.cfg.MaxHeaderSize,
		},
		AtOnce:  int(OwnDescriptors(s.cfg.Loops).Checks()),
		Probe:   s.probe,
		Clock:   s.clock.now,
		Random:  s.random,
		Beside:  s.beside,
		After:   s.after,
		Log:     s.cfg.Log,
		Metrics: s.cfg.Metrics,
	}
	for _, u := range s.cfg.Upstreams {
		cfg.Upstreams = append(cfg.Upstreams, backend.Upstream(u))
	}
	return cfg
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
				_ = l.epoll.Close() // err is the error to return
			}
			return fmt.Errorf("event loop: %w", err)
		}
		s.addLoop(linux{p, s.options}, rand.Reader).waitsWith(p)
	}
	s.cfg.Metrics.CountHandshakesActive(s.Handshakes)
	return nil
}

// addLoop adds a loop with its kernel and its source of random bytes. The first loop
// accepts.
func (s *Server) addLoop(k kernel, source io.Reader) *loop {
	l := newLoop(s, k, source)
	if len(s.loops) == 0 {
		l.listener = s.listener
	}
	s.loops = append(s.loops, l)
	return l
}

// Addr returns the address that clients connect to.
func (s *Server) Addr() net.Addr { return s.listener.addr }

// UpstreamUp reports whether any upstream works and is in use, as far as dials and checks
// have shown: see Config.HealthInterval.
func (s *Server) UpstreamUp() bool { return s.pool.Up() }

// Sessions returns the number of open sessions, as the metric holdfast_sessions_active.
func (s *Server) Sessions() (n int) {
	for _, l := range s.loops {
		n += l.metrics.Active()
	}
	return n
}

// Handshakes returns the number of handshakes under way, refusals included, as the metric
// holdfast_handshakes_active.
func (s *Server) Handshakes() (n int) {
	for _, l := range s.loops {
		n += max(0, int(l.sessions.Load())-l.metrics.Active())
	}
	return n
}

// SessionsLimit returns how many sessions and handshakes there may be at once.
func (s *Server) SessionsLimit() int { return int(s.permits.size) }

// PlacesTaken returns how many of the places of SessionsLimit are taken.
func (s *Server) PlacesTaken() int { return int(s.permits.taken.Load()) }

// Clients returns the number of clients that have a session, a handshake under way, or
// requests that are not upgrades, or whose refusal or end is under way.
func (s *Server) Clients() int { return int(s.live.Load()) }

// Run drives the loops until Shutdown has ended all sessions. An error means that a loop
// could not go on; all loops have ended then.
func (s *Server) Run() error {
	errs := make([]error, len(s.loops))
	epoll.Employ(len(s.loops))
	defer epoll.Employ(-len(s.loops))
	var running sync.WaitGroup
	s.loops[0].post(s.loops[0].startAccept)
	running.Go(func() { _ = s.panics.Guard(func() { s.trim(s.ended) }) }) // the panic is recorded, and the loops do not need trim
	s.pool.Watch()
	for i, l := range s.loops {
		running.Go(func() {
			if errs[i] = l.run(); errs[i] != nil {
				s.end()
				s.onEveryLoop(func(l *loop) { l.inbox.stop() }) // the server cannot go on without one of its loops
			}
		})
	}
	running.Wait()
	err := errors.Join(errs...)
	if err != nil && s.listener.open { // the loop that would have closed it has ended
		s.listener.close()
	}
	return err
}

// onEveryLoop runs a job on each loop and waits until all loops have run it.
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

// nextID returns the id of a new session.
func (s *Server) nextID() uint64 { return s.ids.Add(1) }

// hasPassed reports whether the request has passed this proxy before. The first time it
// logs a warning.
func (s *Server) hasPassed(r *upgrade.Request) bool {
	if !r.HasPassed(s.name) {
		return false
	}
	if !s.looped.Swap(true) {
		s.cfg.Log.Warn("a request has come back: the upstream leads back to this proxy; such requests are refused with 508",
			"path", r.LoggedPath(), "upstream", strings.Join(s.pool.Names(), ","))
	}
	return true
}
