// Package admin serves what operators and their tools ask of a running proxy:
// whether the process lives, whether it wants new sessions, and its metrics.
//
// It is never mounted on the proxy's own listener, where every path belongs to
// the service behind it. Nothing here changes the proxy. Who may ask is decided by
// the network that the listener is on; that a browser is not made to ask for
// somebody else is host.go's care, and how many may ask at once connections.go's.
package admin

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"
)

// Proxy is what the admin listener asks of the proxy.
type Proxy interface {
	// Draining says that no new sessions are taken and the live ones are being ended.
	Draining() bool
	// UpstreamUp says that the service behind the proxy is not known to be down.
	UpstreamUp() bool
	// Sessions is the number of live sessions.
	Sessions() int
}

// Config is what NewServer needs; all fields but Host and Profiling are required.
type Config struct {
	Proxy     Proxy
	Host      string       // the machine's own name; empty if it has none
	Metrics   http.Handler // what /metrics answers
	Profiling bool         // whether /debug/pprof/ exists
	Log       *slog.Logger // complaints of net/http
}

// The admin listener's limits. Its requests have no bodies and its answers are
// small, but a CPU profile is written only after its seconds are over.
const (
	readTimeout    = 5 * time.Second
	writeTimeout   = 2 * time.Minute
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
)

// A Server answers on one listener.
type Server struct{ http http.Server }

// NewServer returns a server that is ready to Serve a listener.
func NewServer(cfg Config) *Server {
	return &Server{http: http.Server{
		Handler:        newHandler(cfg),
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // it answers under any name
	}}
}

// Serve answers on a listener until Close, and then returns http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	bounded := bound(l, maxConnections)
	bounded.watch(&s.http)
	return s.http.Serve(bounded)
}

// Close ends the listener and every connection.
func (s *Server) Close() {
	_ = s.http.Close() // it tells only of what was closed already
}

func newHandler(cfg Config) http.Handler {
	routes := map[string]http.Handler{
		"/healthz": http.HandlerFunc(serveHealth),
		"/readyz":  readiness{cfg.Proxy},
		"/metrics": cfg.Metrics,
	}
	if cfg.Profiling {
		routes["/debug/pprof/"] = http.HandlerFunc(pprof.Index)
		routes["/debug/pprof/cmdline"] = http.HandlerFunc(pprof.Cmdline)
		routes["/debug/pprof/profile"] = http.HandlerFunc(pprof.Profile)
		routes["/debug/pprof/symbol"] = http.HandlerFunc(pprof.Symbol)
		routes["/debug/pprof/trace"] = http.HandlerFunc(pprof.Trace)
	}
	mux := http.NewServeMux()
	var paths []string
	for path, handler := range routes {
		mux.Handle(path, handler)
		paths = append(paths, path)
	}
	slices.Sort(paths)
	mux.Handle("/", notFound(paths))
	return bodiless(newHostGuard(cfg.Host, readOnly(mux)))
}

// isReading reports whether a request's method changes nothing.
func isReading(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// bodiless refuses requests with a body, and does not wait for it: net/http would read
// it up before it closes the connection.
func bodiless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // it fails only if the connection is gone
			w.Header().Set("Connection", "close")
			http.Error(w, "no request has a body here; send it without Content-Length and Transfer-Encoding", http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readOnly refuses every method but GET and HEAD.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isReading(r) {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serveHealth speaks for the process alone: a service that is down behind the
// proxy is no reason to restart the proxy.
func serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// readiness says whether new clients should be sent here.
type readiness struct{ proxy Proxy }

func (h readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	draining, up := h.proxy.Draining(), h.proxy.UpstreamUp()
	status := struct {
		Ready      bool `json:"ready"`
		Draining   bool `json:"draining"`
		UpstreamUp bool `json:"upstream_up"`
		Sessions   int  `json:"sessions"`
	}{up && !draining, draining, up, h.proxy.Sessions()}

	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	if !status.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// An error here means that the asker has gone: nobody is left to be told.
	_ = json.NewEncoder(w).Encode(status)
}

// notFound answers with the paths that there are.
func notFound(paths []string) http.Handler {
	text := "not found; here are:\n" + strings.Join(paths, "\n")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, text, http.StatusNotFound)
	})
}
