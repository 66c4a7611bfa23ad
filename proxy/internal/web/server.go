package web

import (
	"cmp"
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/ration"
	"holdfast/proxy/internal/upgrade"
)

// idleTimeout is how long a client's connection may wait for its next request.
// It is nginx's default, and longer than the 60 s after which AWS's balancer
// gives up a connection: who gives up second races with a request. When room is
// short it may wait less: see Yield.
const idleTimeout = 75 * time.Second

// readAhead is at least what net/http reads behind a head.
const readAhead = 8 << 10

// Config is everything a Server is told. A field must be set unless it is said to be
// optional.
type Config struct {
	// Upstream returns where a request of that client goes. It must not block.
	Upstream func(r *upgrade.Request, client netip.Addr) Upstream
	// Name is the proxy's in CDN-Loop: see upgrade.HasPassed. It is optional.
	Name string
	// HasPassed reports whether a request has passed the proxy before. It is nil if Name
	// is empty.
	HasPassed func(*upgrade.Request) bool
	// Fields are the operator's, added to every request. A client cannot send
	// fields of these names, nor of names that CGI would take for them.
	Fields field.Fields
	// Trust says whose word on the client is believed.
	Trust *forwarded.Trust

	// HandshakeTimeout bounds the head of each request, from its first byte on.
	HandshakeTimeout time.Duration
	// HTTPTimeout is how long a request may make no progress, from the moment at which
	// the upstream has been connected to: no byte moves, in either direction.
	HTTPTimeout time.Duration
	// MaxHeaderSize is the largest request or response head, in bytes; net/http reads
	// some 4 KiB more of a request's.
	MaxHeaderSize int

	Log *slog.Logger
	// ErrorLog is net/http's, which also tells it of the panics that it has caught. It is
	// optional; without it the lines go to Log, at debug level.
	ErrorLog *log.Logger
	Rations  *ration.Book // of log lines that clients cause
	// Count is told the status that a request was answered with. One whose
	// client went away before is not counted.
	Count func(status int)
	// Upgrade is given a connection on which a request for a WebSocket followed
	// others: the request's head, in canonical form, and in Early what came behind
	// it. The connection is the receiver's from then on.
	Upgrade func(g *Guest, head []byte)
	// Gone is told that a connection given to Serve is closed, once for each that
	// was not handed to Upgrade.
	Gone func(g *Guest)
}

// Upstream is a service that requests go to.
type Upstream struct {
	// Prefix is the service's path, byte for byte: see upgrade.AppendTarget.
	Prefix string
	// Dial connects to the service, with TLS if it speaks TLS. Its context is the
	// request's, and it must return soon after that is done. An error is an *Undialled,
	// unless the context was done. The Origin is where it has connected, or has tried last.
	Dial func(context.Context) (net.Conn, Origin, error)
	// Down reports whether the log has said that the service is down. Nil means never.
	Down func() bool
}

// An Origin is one of the places where a service answers.
type Origin struct {
	// Authority is its name, host:port. It is the Host of a client that sent none, as
	// HTTP/1.0 allows.
	Authority string
	// Host is sent instead of the client's; empty means the client's.
	Host string
	// Name and Address are what the log calls it.
	Name, Address string
}

// level returns the level at which a failure of the service is logged: a warning, unless
// the log has said that the service is down.
func (u *Upstream) level() slog.Level {
	if u.Down != nil && u.Down() {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// A Server answers requests with what the upstream says to them.
type Server struct {
	// Static after New.
	cfg       Config
	http      http.Server
	transport *http.Transport
	errorLog  *log.Logger // of the standard library
	ended     context.Context
	end       context.CancelFunc // of all requests

	answering atomic.Int64 // connections with a request that is not answered wholly
	idlers    idlers       // connections that wait for their next request
	retired   atomic.Bool  // each answer is the last of its connection

	mu     sync.Mutex
	closed bool
	guests sync.WaitGroup // Add only under mu, and not when closed
}

// New makes a Server. There is nothing to be undone if it is never used.
func New(cfg Config) *Server {
	s := &Server{
		cfg:      cfg,
		errorLog: cmp.Or(cfg.ErrorLog, slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)),
	}
	s.ended, s.end = context.WithCancel(context.Background())
	s.transport = newTransport(cfg.MaxHeaderSize)
	s.http = http.Server{
		Handler:                      http.HandlerFunc(s.handle),
		DisableGeneralOptionsHandler: true, // OPTIONS * is the upstream's to answer
		ReadHeaderTimeout:            cfg.HandshakeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               cfg.MaxHeaderSize,
		ConnState:                    s.changed,
		BaseContext:                  func(net.Listener) context.Context { return s.ended },
		ConnContext:                  withGuest,
		ErrorLog:                     s.errorLog,
		Protocols:                    onlyHTTP1(),
	}
	return s
}

func onlyHTTP1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// Serve takes a connection over. It does not block.
func (s *Server) Serve(g *Guest) {
	g.idlers, g.answers, g.headTime = &s.idlers, &s.answering, s.cfg.HandshakeTimeout
	g.heads.limit = s.cfg.MaxHeaderSize + readAhead
	g.heads.start()
	if !s.admit(g) {
		g.Close()
		s.cfg.Gone(g)
	}
}

// admit starts a guest's goroutine, unless the Server is shut down.
func (s *Server) admit(g *Guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.guests.Add(1)
	_ = s.http.Serve(&door{guest: g}) // it ends with the door's io.EOF
	return true
}

// changed follows a connection from request to request.
func (s *Server) changed(c net.Conn, state http.ConnState) {
	g := c.(*Guest)
	g.setAnswering(state == http.StateActive)
	if state == http.StateIdle {
		g.becomesIdle()
	}
	if state == http.StateIdle {
		g.heads.start()
	}
	switch {
	case state != http.StateIdle:
		s.idlers.remove(g)
		g.headIsRead()
	case g.ahead, g.heads.hasBegun():
		g.ahead = false
		g.beginHead()
	default:
		s.idlers.add(g)
	}
	if state == http.StateClosed {
		s.gone(g)
	}
}

// gone says farewell to a connection that is closed.
func (s *Server) gone(g *Guest) {
	g.leaving.Do(func() {
		s.cfg.Gone(g)
		s.guests.Done()
	})
}

// Retire makes each answer from now on the last of its connection.
func (s *Server) Retire() { s.retired.Store(true) }

// Shutdown answers no more requests, waits for the answers under way until ctx
// is done, and cuts what is left; cut is how many answers were cut. When it
// returns, every connection is closed or handed to Upgrade.
func (s *Server) Shutdown(ctx context.Context) (cut int) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if err := s.http.Shutdown(ctx); err != nil { // ctx is done
		cut = int(s.answering.Load())
		s.http.Close()
		s.end() // a request whose body the upstream does not take would not end with its client
	}
	s.guests.Wait()
	s.end()
	return cut
}

type guestKey struct{}

func withGuest(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, c)
}

// guestOf returns the guest that a request has come from.
func guestOf(r *http.Request) *Guest { return r.Context().Value(guestKey{}).(*Guest) }
