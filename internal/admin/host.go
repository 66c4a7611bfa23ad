package admin

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"holdfast/internal/hostport"
)

// hostGuard refuses requests whose Host may be another party's name. The owner of a web
// page can let the page's own name resolve to this machine. Then a browser lets the
// page's scripts read the answers to requests under that name (DNS rebinding). That is
// not possible under an IP address or under a name of this machine.
//
// Some paths are answered whatever the Host is: balancers and scrapers use their own names
// for this machine, and a web page learns no secret there.
type hostGuard struct {
	names []string // in lower case
	open  []string // paths that are read under any name
	next  http.Handler
}

// newHostGuard returns a guard before next, which serves the table. name is the machine's
// own, empty if unknown.
func newHostGuard(name string, table []route, next http.Handler) hostGuard {
	g := hostGuard{names: []string{"localhost"}, next: next}
	for _, r := range table {
		if r.anyHost {
			g.open = append(g.open, r.path)
		}
	}
	if name = plainName(name); name != "" {
		label, _, _ := strings.Cut(name, ".")
		g.names = append(g.names, name, label)
	}
	return g
}

const foreignHost = "The request's Host is neither an IP address nor localhost nor the machine's own name; " +
	"use http://ADDRESS:PORT/, with the address of the machine."

func (g hostGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.admits(r) {
		http.Error(w, foreignHost, http.StatusMisdirectedRequest)
		return
	}
	g.next.ServeHTTP(w, r)
}

// admits reports whether the request may be answered.
func (g hostGuard) admits(r *http.Request) bool {
	if isReading(r) && slices.Contains(g.open, r.URL.Path) {
		return true
	}
	at, ok := hostport.Split(r.Host)
	if _, err := netip.ParseAddr(at.Host); ok && err == nil {
		return true
	}
	return ok && slices.Contains(g.names, plainName(at.Host))
}

// plainName returns a name in the form in which names are compared: in lower case, and
// without the last dot of a fully qualified name.
func plainName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
