package admin

import (
	"net"
	"net/http"
	"strconv"

	"holdfast/internal/page"
	"holdfast/internal/status"
)

// servePage answers with the status page. It shows what the API answers to the same client.
func (cfg Config) servePage(w http.ResponseWriter, r *http.Request) {
	seen := page.Seen{
		Status: cfg.status(r), LimitedBy: cfg.LimitedBy, Spread: cfg.Spread, DrainCode: cfg.DrainCode, Host: ownHost(r),
	}
	_, seen.Authorized = r.Header["Authorization"]
	if seen.Status.May.List {
		seen.Query = page.QueryOf(r.URL.Query())
		list, err := cfg.Proxy.SessionList(r.Context(), seen.Query)
		if err != nil {
			return // the client has left
		}
		seen.Sessions = status.SessionListOf(list)
		seen.Ends = cfg.Book.Ends(status.EndsKept)
		seen.Variables = cfg.Variables
	}
	page.Write(w, seen)
}

// ownHost returns where a program on this machine can reach the listener that r came to, as
// an operator: host:port of a loopback address. It is empty if that is not known.
func ownHost(r *http.Request) string {
	at, isTCP := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	switch {
	case !isTCP:
		return ""
	case at.IP.IsLoopback():
		return at.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port))
}
