package admin

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"holdfast/internal/status"
)

// drain begins to end all sessions, as SIGTERM does, while the process lives on.
func (cfg Config) drain(w http.ResponseWriter, r *http.Request) {
	if _, err := parameters(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cfg.Drain()
	sendJSON(w, http.StatusAccepted, struct {
		Draining bool    `json:"draining"`
		Sessions int     `json:"sessions"`
		AtMostS  float64 `json:"at_most_s"`
	}{cfg.Proxy.Draining(), cfg.Proxy.Sessions(), math.Ceil(cfg.Proxy.DrainLeft().Seconds())})
}

// drainUpstream takes an upstream, or one address of it, out of use.
func (cfg Config) drainUpstream(w http.ResponseWriter, r *http.Request) {
	given, err := parameters(r, "address", "spread")
	spread := cfg.Spread
	if text, set := given["spread"]; err == nil && set {
		spread, err = parseSpread(text)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name, address := cfg.nameIn(r.PathValue("name")), given["address"]
	found := cfg.Proxy.DrainTargets(name, address, spread)
	warning := ""
	if found && !cfg.Proxy.UpstreamUp() {
		warning = noneLeft
		cfg.Log.Warn("an operator has taken an upstream out of use, and "+noneLeft, "client", r.RemoteAddr, "name", name)
	}
	cfg.changed(w, http.StatusAccepted, name, address, found, warning)
}

// resumeUpstream brings it back into use.
func (cfg Config) resumeUpstream(w http.ResponseWriter, r *http.Request) {
	given, err := parameters(r, "address")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name, address := cfg.nameIn(r.PathValue("name")), given["address"]
	cfg.changed(w, http.StatusOK, name, address, cfg.Proxy.ResumeTargets(name, address), "")
}

// noneLeft is the warning of a drain after which no upstream can get sessions.
const noneLeft = "no other upstream is up: new clients get 503"

// changed answers a request that has changed the targets with this name and address, if
// they were found. The warning may be empty.
func (cfg Config) changed(w http.ResponseWriter, code int, name, address string, found bool, warning string) {
	all := cfg.targets()
	if !found {
		http.Error(w, unknown(all, name, address), http.StatusNotFound)
		return
	}
	type changedTarget struct {
		status.Upstream
		Warning string `json:"warning,omitempty"`
	}
	those := []changedTarget{} // never nil, which JSON would call null
	for _, t := range all {
		if t.Name == name && (address == "" || t.Address == address) {
			those = append(those, changedTarget{t, warning})
		}
	}
	sendJSON(w, code, those)
}

// unknown says that there is no target with this name and address, and which there are.
func unknown(all []status.Upstream, name, address string) string {
	var names, addresses []string
	for _, t := range all {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
		if t.Name == name && t.Address != "" {
			addresses = append(addresses, t.Address)
		}
	}
	switch {
	case !slices.Contains(names, name):
		return fmt.Sprintf("no upstream has the name %q; the names are:\n%s", name, strings.Join(names, "\n"))
	case addresses == nil:
		return fmt.Sprintf("upstream %q has no address %q; its name leads to no address", name, address)
	}
	return fmt.Sprintf("upstream %q has no address %q; its addresses are:\n%s", name, address, strings.Join(addresses, "\n"))
}

// maxSpread is the longest time over which the sessions of a target end.
const maxSpread = 24 * time.Hour

func parseSpread(text string) (time.Duration, error) {
	spread, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("spread=%q is not a duration; write for example spread=60s", text)
	case spread < 0:
		return 0, errors.New("spread must not be negative")
	case spread > maxSpread:
		return 0, errors.New("spread must be at most 24h")
	}
	return spread, nil
}
