package admin

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// A record tells the log who asks for changes, and who is refused.
type record struct {
	log *slog.Logger

	mu      sync.Mutex // guards the fields below
	next    time.Time  // when the log may have one more line about a refusal
	leftOut int        // refusals that the log does not have since its last line about one
}

// refusalEvery is the time from one line about a refusal to the next. Everyone who can reach
// the listener can cause refusals.
const refusalEvery = 10 * time.Second

// maxLogged bounds what the log has of a path: a client may send a long one.
const maxLogged = 256

// asked records the request of an operator.
func (r *record) asked(q *http.Request) {
	r.log.Info("an operator asks", "client", q.RemoteAddr, "method", q.Method, "path", logged(q))
}

// refused records a request for a change whose client may not ask for it.
func (r *record) refused(q *http.Request, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.next) {
		r.leftOut++
		return
	}
	_, authorized := q.Header["Authorization"]
	r.log.Warn("a request for a change was refused",
		"client", q.RemoteAddr, "method", q.Method, "path", logged(q), "authorization", authorized, "left_out", r.leftOut)
	r.next, r.leftOut = now.Add(refusalEvery), 0
}

// logged returns the path of a request as the log has it.
func logged(q *http.Request) string {
	path := q.URL.EscapedPath()
	return path[:min(len(path), maxLogged)]
}
