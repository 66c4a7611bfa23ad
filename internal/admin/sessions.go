package admin

import (
	"net/http"

	"holdfast/internal/status"
	"holdfast/proxy"
)

// How many sessions a list has.
const (
	sessionsListed = 200 // if the request does not say
	mostSessions   = 1000
)

// listSessions answers with open sessions.
func (cfg Config) listSessions(w http.ResponseWriter, r *http.Request) {
	query, err := sessionQuery(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	list, err := cfg.Proxy.SessionList(r.Context(), query)
	if err != nil {
		return // the client has left
	}
	sendJSON(w, http.StatusOK, status.SessionListOf(list))
}

// sessionQuery returns what a request for a list asks for.
func sessionQuery(r *http.Request) (q proxy.SessionQuery, err error) {
	given, err := parameters(r, "limit", "sort", "order", "filter")
	if err != nil {
		return q, err
	}
	if q.Limit, err = parseLimit(given, sessionsListed, mostSessions); err != nil {
		return q, err
	}
	if q.Order, err = parseOneOf(given, "sort", proxy.SessionOrders...); err != nil {
		return q, err
	}
	direction, err := parseOneOf(given, "order", "desc", "asc")
	q.Ascending, q.Filter = direction == "asc", given["filter"]
	return q, err
}

// closeSession ends a session.
func (cfg Config) closeSession(w http.ResponseWriter, r *http.Request) {
	if _, err := parameters(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id, found := proxy.SessionID(r.PathValue("id"))
	var was proxy.SessionStatus
	if found {
		var err error
		if was, found, err = cfg.Proxy.CloseSession(r.Context(), id); err != nil {
			return // the client has left
		}
	}
	if !found {
		http.Error(w, "no open session has this id; the log and /api/sessions have the ids", http.StatusNotFound)
		return
	}
	sendJSON(w, http.StatusAccepted, status.SessionOf(was))
}

// listEnds answers with the last ends.
func (cfg Config) listEnds(w http.ResponseWriter, r *http.Request) {
	given, err := parameters(r, "limit")
	limit := 0
	if err == nil {
		limit, err = parseLimit(given, status.EndsKept, status.EndsKept)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sendJSON(w, http.StatusOK, status.EndList{Ends: cfg.Book.Ends(limit)})
}
