package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// openPaths are answered under any name: balancers and scrapers use names of their
// own, and nothing there is worth a page's while.
var openPaths = []string{"/healthz", "/readyz", "/metrics"}

// hostGuard refuses requests that name a host which may be somebody else's. A web
// page can have its own name resolve to this machine, and then its scripts may
// read what is answered under that name (DNS rebinding). They cannot do so under
// an address, nor under a name that is this machine's.
type hostGuard struct {
	names []string // in lower case
	next  http.Handler
}

// newHostGuard: name is the machine's; empty means that it is not known.
func newHostGuard(name string, next http.Handler) hostGuard {
	g := hostGuard{names: []string{"localhost"}, next: next}
	if name = plainName(name); name != "" {
		label, _, _ := strings.Cut(name, ".")
		g.names = append(g.names, name, label)
	}
	return g
}

const foreignHost = "This is answered under an address, under localhost and under the machine's own name, " +
	"and the request's Host is none of these; use http://ADDRESS:PORT/, with the address of the machine."

func (g hostGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.admits(r) {
		http.Error(w, foreignHost, http.StatusMisdirectedRequest)
		return
	}
	g.next.ServeHTTP(w, r)
}

// admits reports whether the request may be answered.
func (g hostGuard) admits(r *http.Request) bool {
	if isReading(r) && slices.Contains(openPaths, r.URL.Path) {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		return true
	}
	return slices.Contains(g.names, plainName(host))
}

// plainName is a name as all its spellings are compared: in lower case and without
// the dot of a name that is fully qualified.
func plainName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
