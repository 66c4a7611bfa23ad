package admin

import (
	"encoding/json"
	"fmt"
	"net/http"

	"holdfast/proxy"
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
	status := struct {
		Ready      bool     `json:"ready"`
		Draining   bool     `json:"draining"`
		UpstreamUp bool     `json:"upstream_up"`
		Sessions   int      `json:"sessions"`
		Upstreams  []target `json:"upstreams"`
	}{up && !draining, draining, up, cfg.Proxy.Sessions(), cfg.targets()}
	code := http.StatusOK
	if !status.Ready {
		code = http.StatusServiceUnavailable
	}
	sendJSON(w, code, status)
}

// serveUpstreams answers with the status of every target.
func (cfg Config) serveUpstreams(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, cfg.targets())
}

// A target is a proxy.TargetStatus as operators see it.
type target struct {
	Name     string            `json:"name"` // what stands in the paths of its upstream
	Upstream string            `json:"upstream"`
	Address  string            `json:"address"`
	State    proxy.TargetState `json:"state"`
	Sessions int               `json:"sessions"`
	Reason   string            `json:"reason,omitempty"`
}

// targets returns the status of every target. It is never nil, which JSON would call null.
func (cfg Config) targets() []target {
	all := []target{}
	for _, t := range cfg.Proxy.Targets() {
		all = append(all, target{t.Name(), t.Upstream, t.Address, t.State, t.Sessions, t.Reason})
	}
	return all
}

// sendJSON sends an answer in JSON.
func sendJSON(w http.ResponseWriter, code int, what any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// An error means that the client has left, so it cannot be reported to the client.
	_ = json.NewEncoder(w).Encode(what)
}
