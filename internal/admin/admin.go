// Package admin answers the requests of operators and their tools about a running
// proxy: whether the process lives, whether it takes new sessions, and its metrics.
//
// It is never served on the proxy's own listener, where every path belongs to the
// service behind the proxy. No request changes the proxy. Clients are not
// authenticated: everyone who can reach the listener may ask. host.go protects it from
// web pages that use a visitor's browser. connections.go limits the connections.
package admin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"
)

// Proxy is what the admin listener asks of the proxy.
type Proxy interface {
	// Draining reports whether the proxy takes no new sessions and ends the live ones.
	Draining() bool
	// UpstreamUp reports whether the upstream works, as far as the proxy knows.
	UpstreamUp() bool
	// Sessions returns the number of open sessions. Handshakes and other requests are not
	// sessions.
	Sessions() int
}

// Config is what NewServer needs. Host, Profiling and Connections may be left out.
type Config struct {
	Proxy     Proxy
	Host      string       // the machine's own name; empty if it has none
	Metrics   http.Handler // what /metrics answers
	Profiling bool         // whether /debug/pprof/ exists
	ErrorLog  *log.Logger  // net/http's

	Connections int // how many may be open at once; 0 means 32
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
	return &Server{connections: cmp.Or(cfg.Connections, maxConnections), http: http.Server{
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

// isReading reports whether the method of r is GET or HEAD.
func isReading(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
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

// serveHealth says that the process lives. It does not look at the upstream: a restart
// of the proxy does not help if the upstream is down.
func serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// readiness answers whether new clients should be sent to this proxy.
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
	// An error means that the client has left, so it cannot be reported to the client.
	_ = json.NewEncoder(w).Encode(status)
}

// notFound answers with a list of the paths that exist.
func notFound(paths []string) http.Handler {
	text := "not found; the paths are:\n" + strings.Join(paths, "\n")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, text, http.StatusNotFound)
	})
}
