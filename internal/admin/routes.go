package admin

import (
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"holdfast/internal/page"
)

// A route is a path of the admin listener.
type route struct {
	path    string // as http.ServeMux takes it
	method  string // GET, which includes HEAD, or POST
	may     who
	anyHost bool   // it is answered whatever the request's Host is, see hostGuard
	own     bool   // a page of another origin may not even read it
	token   string // which operators on other hosts know; empty if there is none
	record  *record
	answer  http.HandlerFunc
}

// rootPath is "/" alone, and no path below.
const rootPath = "/{$}"

// routes returns the table of all paths.
func routes(cfg Config) []route {
	const get, post = http.MethodGet, http.MethodPost
	table := []route{
		{path: "/healthz", method: get, may: anyone, anyHost: true, answer: serveHealth},
		{path: "/readyz", method: get, may: anyone, anyHost: true, answer: cfg.serveReadiness},
		{path: "/metrics", method: get, may: anyone, anyHost: true, answer: cfg.Metrics.ServeHTTP},
		{path: rootPath, method: get, may: anyone, answer: cfg.servePage},
		{path: "/assets/", method: get, may: anyone, answer: page.Assets().ServeHTTP},
		{path: "/api/status", method: get, may: anyone, own: true, answer: cfg.serveStatus},
		{path: "/api/events", method: get, may: anyone, own: true, answer: cfg.serveEvents},
		{path: "/api/sessions", method: get, may: operators, own: true, answer: cfg.listSessions},
		{path: "/api/sessions/{id}/close", method: post, may: operators, answer: cfg.closeSession},
		{path: "/api/ends", method: get, may: operators, own: true, answer: cfg.listEnds},
		{path: "/api/configuration", method: get, may: operators, own: true, answer: cfg.serveConfiguration},
		{path: "/api/upstreams", method: get, may: anyone, answer: cfg.serveUpstreams},
		{path: "/api/upstreams/{name}/drain", method: post, may: operators, answer: cfg.drainUpstream},
		{path: "/api/upstreams/{name}/resume", method: post, may: operators, answer: cfg.resumeUpstream},
		{path: "/api/drain", method: post, may: operators, answer: cfg.drain},
	}
	if cfg.Profiling {
		table = append(table,
			route{path: "/debug/pprof/", method: get, may: anyone, answer: pprof.Index},
			route{path: "/debug/pprof/cmdline", method: get, may: anyone, answer: pprof.Cmdline},
			route{path: "/debug/pprof/profile", method: get, may: anyone, answer: pprof.Profile},
			route{path: "/debug/pprof/symbol", method: get, may: anyone, answer: pprof.Symbol},
			route{path: "/debug/pprof/trace", method: get, may: anyone, answer: pprof.Trace},
		)
	}
	all := &record{log: cfg.Log}
	for i := range table {
		table[i].token, table[i].record = cfg.Token, all
	}
	return table
}

// ServeHTTP answers a request for the route's path, if the method is right and the client
// may ask.
func (t route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case t.method == http.MethodGet && !isReading(r):
		refuseMethod(w, "GET, HEAD", "only GET and HEAD are answered here")
	case t.method == http.MethodPost && r.Method != http.MethodPost:
		refuseMethod(w, "POST", "only POST is answered here")
	case !t.admits(w, r):
		if t.method == http.MethodPost {
			t.record.refused(r, time.Now())
		}
	default:
		if t.method == http.MethodPost {
			t.record.asked(r)
		}
		t.answer(w, r)
	}
}

func refuseMethod(w http.ResponseWriter, allowed, why string) {
	w.Header().Set("Allow", allowed)
	http.Error(w, why, http.StatusMethodNotAllowed)
}

// isReading reports whether the method of r is GET or HEAD.
func isReading(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// notFound answers with a list of the paths that exist.
func notFound(table []route) http.Handler {
	var paths []string
	for _, r := range table {
		paths = append(paths, strings.TrimSuffix(r.path, "{$}"))
	}
	slices.Sort(paths)
	text := "not found; the paths are:\n" + strings.Join(paths, "\n")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, text, http.StatusNotFound)
	})
}
