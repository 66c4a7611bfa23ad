package admin

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/status"
	"holdfast/metrics"
	"holdfast/proxy"
)

type fakeProxy struct {
	draining bool
	down     bool
	sessions int
	targets  []proxy.TargetStatus
	open     []proxy.SessionStatus
	asked    *[]string // what was asked of sessions and targets
}

func (p fakeProxy) Draining() bool                { return p.draining }
func (p fakeProxy) DrainLeft() time.Duration      { return 54*time.Second + 1 }
func (p fakeProxy) Sessions() int                 { return p.sessions }
func (p fakeProxy) UpstreamUp() bool              { return !p.down }
func (p fakeProxy) Targets() []proxy.TargetStatus { return p.targets }

func (p fakeProxy) Accepts() bool      { return !p.draining }
func (p fakeProxy) PlacesTaken() int   { return p.sessions + 1 }
func (p fakeProxy) Handshakes() int    { return 1 }
func (p fakeProxy) SessionsLimit() int { return 9 }

func (p fakeProxy) SessionList(_ context.Context, q proxy.SessionQuery) (proxy.SessionList, error) {
	*p.asked = append(*p.asked, fmt.Sprintf("list %s %v %q %d", q.Order, q.Ascending, q.Filter, q.Limit))
	return proxy.SessionList{Total: len(p.open), Matched: len(p.open), Sessions: p.open}, nil
}

func (p fakeProxy) CloseSession(_ context.Context, id uint64) (was proxy.SessionStatus, found bool, err error) {
	*p.asked = append(*p.asked, fmt.Sprintf("close %d", id))
	for _, s := range p.open {
		if s.ID == id {
			return s, true, nil
		}
	}
	return was, false, nil
}

func (p fakeProxy) DrainTargets(name, address string, spread time.Duration) (found bool) {
	*p.asked = append(*p.asked, fmt.Sprintf("drain %q %q %v", name, address, spread))
	return p.has(name, address)
}

func (p fakeProxy) ResumeTargets(name, address string) (found bool) {
	*p.asked = append(*p.asked, fmt.Sprintf("resume %q %q", name, address))
	return p.has(name, address)
}

func (p fakeProxy) has(name, address string) bool {
	return slices.ContainsFunc(p.targets, func(t proxy.TargetStatus) bool {
		return t.Name() == name && (address == "" || t.Address == address)
	})
}

func testServer(cfg Config) *Server {
	cfg.ErrorLog = log.New(io.Discard, "", 0)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Proxy == nil {
		cfg.Proxy = fakeProxy{asked: new([]string)}
	}
	if cfg.Book == nil {
		cfg.Book = status.New("v1", metrics.New("test").Snapshot, time.Now())
	}
	if cfg.Drain == nil {
		cfg.Drain = func() {}
	}
	cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "holdfast_draining 0\n")
	})
	return NewServer(cfg)
}

// local returns a request of a program on this host.
func local(method, path string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	r.Host, r.RemoteAddr = "127.0.0.1:8081", "127.0.0.1:40000"
	return r
}

// ask returns the server's answer.
func (s *Server) ask(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(rec, r)
	return rec
}

func TestAnswers(t *testing.T) {
	plain := testServer(Config{})
	profiling := testServer(Config{Profiling: true})
	busy := testServer(Config{Proxy: fakeProxy{sessions: 3}})
	draining := testServer(Config{Proxy: fakeProxy{draining: true, sessions: 2}})
	down := testServer(Config{Proxy: fakeProxy{down: true, targets: []proxy.TargetStatus{
		{Upstream: "ws://a.example:80", Address: "192.0.2.1:80", State: proxy.TargetDown, Reason: "connection refused"},
		{Upstream: "unix:/run/app.sock", Address: "/run/app.sock", State: proxy.TargetDraining, Sessions: 7},
		{Upstream: "ws://lost.example:80", State: proxy.TargetDown, Reason: "lookup lost.example: no such host"},
	}}})
	const api = "not found; the paths are:\n/\n/api/configuration\n/api/drain\n/api/ends\n/api/events\n/api/sessions\n/api/sessions/{id}/close\n/api/status\n"
	const paths = api + "/api/upstreams\n/api/upstreams/{name}/drain\n/api/upstreams/{name}/resume\n" +
		"/assets/\n/healthz\n/metrics\n/readyz\n"
	const listed = api + "/api/upstreams\n/api/upstreams/{name}/drain\n/api/upstreams/{name}/resume\n/assets/\n/debug/pprof/\n"
	const targets = `[{"name":"a.example:80","upstream":"ws://a.example:80","address":"192.0.2.1:80","state":"down","sessions":0,"handshakes":0,"reason":"connection refused"},` +
		`{"name":"/run/app.sock","upstream":"unix:/run/app.sock","address":"/run/app.sock","state":"draining","sessions":7,"handshakes":0},` +
		`{"name":"lost.example:80","upstream":"ws://lost.example:80","address":"","state":"down","sessions":0,"handshakes":0,"reason":"lookup lost.example: no such host"}]`

	for _, tc := range []struct {
		name         string
		server       *Server
		method, path string
		status       int
		body         string // whole, unless it ends in "…"
	}{
		{"health", plain, "GET", "/healthz", 200, "ok\n"},
		{"health while draining: the process is well", draining, "GET", "/healthz", 200, "ok\n"},
		{"ready", busy, "GET", "/readyz", 200, `{"ready":true,"draining":false,"upstream_up":true,"sessions":3,"upstreams":[]}` + "\n"},
		{"not ready", draining, "GET", "/readyz", 503, `{"ready":false,"draining":true,"upstream_up":true,"sessions":2,"upstreams":[]}` + "\n"},
		{"no upstream", down, "GET", "/readyz", 503, `{"ready":false,"draining":false,"upstream_up":false,"sessions":0,"upstreams":` + targets + "}\n"},
		{"ready, HEAD", draining, "HEAD", "/readyz", 503, ""},
		{"metrics", plain, "GET", "/metrics", 200, "holdfast_draining 0\n"},
		{"unknown path", plain, "GET", "/x", 404, paths},
		{"below a path", plain, "GET", "/healthz/x", 404, paths},
		{"changing method", plain, "POST", "/readyz", 405, "only GET and HEAD are answered here\n"},
		{"changing method on an unknown path", plain, "DELETE", "/x", 404, paths},
		{"reading what is changed", plain, "GET", "/api/drain", 405, "only POST is answered here\n"},
		{"the same, of an upstream", plain, "HEAD", "/api/upstreams/x/drain", 405, ""},
		{"deleting", plain, "DELETE", "/api/upstreams/x/resume", 405, "only POST is answered here\n"},
		{"changing the list", plain, "POST", "/api/upstreams", 405, "only GET and HEAD are answered here\n"},
		{"upstreams", down, "GET", "/api/upstreams", 200, targets + "\n"},
		{"no upstreams are a list too", plain, "GET", "/api/upstreams", 200, "[]\n"},
		{"profiles switched off", plain, "GET", "/debug/pprof/", 404, paths},
		{"profiles switched on", profiling, "GET", "/debug/pprof/", 200, "<html>…"},
		{"one profile", profiling, "GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total…"},
		{"profiles are listed", profiling, "GET", "/x", 404, listed + "…"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := tc.server.ask(local(tc.method, tc.path))
			if rec.Code != tc.status {
				t.Errorf("status = %d, want %d", rec.Code, tc.status)
			}
			body := rec.Body.String()
			if tc.method == "HEAD" {
				return // net/http's server drops the body, a recorder does not
			}
			if begin, open := strings.CutSuffix(tc.body, "…"); open && !strings.HasPrefix(body, begin) || !open && body != tc.body {
				t.Errorf("body = %q, want %q", body, tc.body)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	for _, tc := range []struct{ method, path, header, want string }{
		{"GET", "/healthz", "Content-Type", "text/plain; charset=utf-8"},
		{"GET", "/healthz", "Cache-Control", "no-store"},
		{"GET", "/readyz", "Content-Type", "application/json"},
		{"GET", "/readyz", "Cache-Control", "no-store"},
		{"POST", "/readyz", "Allow", "GET, HEAD"},
		{"GET", "/api/upstreams", "Content-Type", "application/json"},
		{"GET", "/api/drain", "Allow", "POST"},
		{"POST", "/api/drain", "Cache-Control", "no-store"},
	} {
		rec := testServer(Config{}).ask(local(tc.method, tc.path))
		if got := rec.Header().Get(tc.header); got != tc.want {
			t.Errorf("%s %s: %s = %q, want %q", tc.method, tc.path, tc.header, got, tc.want)
		}
	}
}

// A slow or silent asker must not hold a connection for ever.
func TestServerHasLimits(t *testing.T) {
	s := &testServer(Config{}).http
	if s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("a limit is missing: read %v, write %v, idle %v, header %d",
			s.ReadTimeout, s.WriteTimeout, s.IdleTimeout, s.MaxHeaderBytes)
	}
}
