// Package admin answers the requests of operators and their tools to a running proxy:
// whether the process lives, whether it takes new sessions, its metrics, its sessions and
// their ends, and what to take out of use.
//
// It is never served on the proxy's own listener, where every path belongs to the service
// behind the proxy.
//
// The path of a request: connections.go limits the connections. host.go and access.go
// protect the listener from web pages that use a visitor's browser. routes.go has the table
// of all paths: by which method each is asked for, and who may ask (access.go). names.go
// reads the names of upstreams in them. status.go answers those who read, and drain.go those
// who change something; record.go tells the log who they are. sessions.go has the list of
// sessions and the last ends. page.go shows all of that to people, and events.go keeps their
// page up to date.
package admin

import (
	"cmp"
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"holdfast/internal/status"
	"holdfast/proxy"
)

// Proxy is what the admin listener asks of the proxy.
type Proxy interface {
	// Draining reports whether the proxy takes no new sessions and ends the live ones.
	Draining() bool
	// Accepts reports whether new clients are let in. Of a drain they are until its delay
	// has passed.
	Accepts() bool
	// DrainLeft returns how long the drain still takes at most. It is 0 if there is none.
	DrainLeft() time.Duration
	// UpstreamUp reports whether a target can get sessions, as far as the proxy knows.
	UpstreamUp() bool
	// Sessions returns the number of open sessions. Handshakes and other requests are not
	// sessions.
	Sessions() int
	// Handshakes returns the number of handshakes under way.
	Handshakes() int
	// SessionsLimit returns how many sessions and handshakes there may be at once.
	SessionsLimit() int
	// PlacesTaken returns how many of the places of SessionsLimit are taken.
	PlacesTaken() int
	// SessionList lists open sessions. It returns an error if ctx is done first.
	SessionList(ctx context.Context, q proxy.SessionQuery) (proxy.SessionList, error)
	// CloseSession ends an open session, and returns it as it was before. found is false
	// if there is no such session.
	CloseSession(ctx context.Context, id uint64) (was proxy.SessionStatus, found bool, err error)
	// Targets returns the status of every target. An upstream without one is there without
	// an address.
	Targets() []proxy.TargetStatus
	// DrainTargets takes the targets with this name, and with this address if it is not
	// empty, out of use, and ends their sessions within spread. found is false if there is
	// no such target.
	DrainTargets(name, address string, spread time.Duration) (found bool)
	// ResumeTargets brings such targets back into use.
	ResumeTargets(name, address string) (found bool)
}

// Config is what NewServer needs; Host, Token, Profiling and Connections may be left out.
type Config struct {
	Proxy     Proxy
	Book      *status.Book      // what has happened
	Variables []status.Variable // the configuration
	Drain     func()            // begins the drain that SIGTERM begins; it may be called again
	Spread    time.Duration     // over which the sessions of a target end, if a request does not say
	DrainCode uint16            // of the Close that clients get then
	LimitedBy string            // what sets the limit on sessions; empty if that is not known
	Token     string            // with which operators on other hosts may ask; empty if there is none
	Host      string            // the machine's own name; empty if it has none
	Metrics   http.Handler      // what /metrics answers
	Profiling bool              // whether /debug/pprof/ exists
	Log       *slog.Logger      // who asks for changes, and who is refused
	ErrorLog  *log.Logger       // net/http's

	Connections int // how many may be open at once; 0 means 32

	streams chan struct{} // has an item for each stream of events that is open
}

// The admin listener's limits. Requests have no bodies and answers are small. But the
// answer to a request for a CPU profile comes only after as many seconds as it asks for.
const (
	readTimeout    = 5 * time.Second
	writeTimeout   = 2 * time.Minute
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
)

// A Server answers on one listener.
type Server struct {
	http        http.Server
	connections int // at once
}

// NewServer returns a server that is ready to Serve a listener.
func NewServer(cfg Config) *Server {
	cfg.Connections = cmp.Or(cfg.Connections, maxConnections)
	cfg.streams = make(chan struct{}, max(1, cfg.Connections/streamShare))
	return &Server{connections: cfg.Connections, http: http.Server{
		Handler:        newHandler(cfg),
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       cfg.ErrorLog,

		DisableGeneralOptionsHandler: true, // it would answer whatever the Host is
	}}
}

// Serve answers on l until Close is called. Then it returns http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	bounded := bound(l, s.connections)
	bounded.watch(&s.http)
	return s.http.Serve(bounded)
}

// Close closes the listener and every connection.
func (s *Server) Close() {
	_ = s.http.Close() // it fails only if the listener was closed before
}

// newHandler returns what answers all requests.
func newHandler(cfg Config) http.Handler {
	table := routes(cfg)
	mux := http.NewServeMux()
	for _, r := range table {
		mux.Handle(r.path, r)
	}
	none := notFound(table)
	mux.Handle("/", none)
	return bodiless(newHostGuard(cfg.Host, table, asWritten(mux, none)))
}

// bodiless refuses requests with a body. It sets a read deadline in the past, because
// net/http would otherwise read the body before it closes the connection.
func bodiless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // it fails only if the connection is gone
			w.Header().Set("Connection", "close")
			http.Error(w, "a request must not have a body here; send it without Content-Length and Transfer-Encoding", http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}
