package admin

import (
	"net/http"

	"holdfast/internal/page"
	"holdfast/internal/status"
)

// servePage answers with the status page. It shows what the API answers to the same client.
func (cfg Config) servePage(w http.ResponseWriter, r *http.Request) {
	seen := page.Seen{Status: cfg.status(r), LimitedBy: cfg.LimitedBy}
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
