package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"holdfast/internal/status"
)

// serveHealth says that the process lives. It does not look at the upstream: a restart
// of the proxy does not help if the upstream is down.
func serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// serveReadiness answers whether new clients should be sent to this proxy.
func (cfg Config) serveReadiness(w http.ResponseWriter, _ *http.Request) {
	draining, up := cfg.Proxy.Draining(), cfg.Proxy.UpstreamUp()
	is := struct {
		Ready      bool              `json:"ready"`
		Draining   bool              `json:"draining"`
		UpstreamUp bool              `json:"upstream_up"`
		Sessions   int               `json:"sessions"`
		Upstreams  []status.Upstream `json:"upstreams"`
	}{up && !draining, draining, up, cfg.Proxy.Sessions(), cfg.targets()}
	code := http.StatusOK
	if !is.Ready {
		code = http.StatusServiceUnavailable
	}
	sendJSON(w, code, is)
}

// serveStatus answers with the status of the proxy and of its last minutes.
func (cfg Config) serveStatus(w http.ResponseWriter, r *http.Request) {
	sendJSON(w, http.StatusOK, cfg.status(r))
}

// status returns that for the client of a request.
func (cfg Config) status(r *http.Request) status.Status {
	s := cfg.Book.Status(time.Now())
	s.Draining, s.UpstreamUp = cfg.Proxy.Draining(), cfg.Proxy.UpstreamUp()
	s.Ready = !s.Draining && s.UpstreamUp
	s.Accepts = cfg.Proxy.Accepts()
	s.DrainLeft = cfg.Proxy.DrainLeft().Seconds()
	s.Sessions, s.SessionsLimit = cfg.Proxy.Sessions(), cfg.Proxy.SessionsLimit()
	s.Handshakes, s.PlacesTaken = cfg.Proxy.Handshakes(), cfg.Proxy.PlacesTaken()
	s.Upstreams = cfg.targets()
	operator := isOperator(r, cfg.Token)
	s.May = status.May{List: operator, Act: operator}
	return s
}

// serveConfiguration answers with the effective value of every variable.
func (cfg Config) serveConfiguration(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, status.Configuration{Variables: cfg.Variables})
}

// serveUpstreams answers with the status of every target.
func (cfg Config) serveUpstreams(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, cfg.targets())
}

// targets returns the status of every target. It is never nil, which JSON would call null.
func (cfg Config) targets() []status.Upstream {
	all := []status.Upstream{}
	for _, t := range cfg.Proxy.Targets() {
		all = append(all, status.UpstreamOf(t))
	}
	return all
}

// sendJSON sends an answer in JSON.
func sendJSON(w http.ResponseWriter, code int, what any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	// An error means that the client has left, so it cannot be reported to the client.
	_ = json.NewEncoder(w).Encode(what)
}
