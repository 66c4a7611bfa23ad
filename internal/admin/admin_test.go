package admin

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type fakeProxy struct {
	draining bool
	down     bool
	sessions int
}

func (p fakeProxy) Draining() bool   { return p.draining }
func (p fakeProxy) Sessions() int    { return p.sessions }
func (p fakeProxy) UpstreamUp() bool { return !p.down }

func testServer(cfg Config) *Server {
	cfg.ErrorLog = log.New(io.Discard, "", 0)
	if cfg.Proxy == nil {
		cfg.Proxy = fakeProxy{}
	}
	cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "holdfast_draining 0\n")
	})
	return NewServer(cfg)
}

func TestAnswers(t *testing.T) {
	plain := testServer(Config{})
	profiling := testServer(Config{Profiling: true})
	busy := testServer(Config{Proxy: fakeProxy{sessions: 3}})
	draining := testServer(Config{Proxy: fakeProxy{draining: true, sessions: 2}})
	down := testServer(Config{Proxy: fakeProxy{down: true}})
	const paths = "not found; the paths are:\n/healthz\n/metrics\n/readyz\n"

	for _, tc := range []struct {
		name         string
		server       *Server
		method, path string
		status       int
		body         string // whole, unless it ends in "…"
	}{
		{"health", plain, "GET", "/healthz", 200, "ok\n"},
		{"health while draining: the process is well", draining, "GET", "/healthz", 200, "ok\n"},
		{"ready", busy, "GET", "/readyz", 200, `{"ready":true,"draining":false,"upstream_up":true,"sessions":3}` + "\n"},
		{"not ready", draining, "GET", "/readyz", 503, `{"ready":false,"draining":true,"upstream_up":true,"sessions":2}` + "\n"},
		{"no upstream", down, "GET", "/readyz", 503, `{"ready":false,"draining":false,"upstream_up":false,"sessions":0}` + "\n"},
		{"ready, HEAD", draining, "HEAD", "/readyz", 503, ""},
		{"metrics", plain, "GET", "/metrics", 200, "holdfast_draining 0\n"},
		{"unknown path", plain, "GET", "/", 404, paths},
		{"below a path", plain, "GET", "/healthz/x", 404, paths},
		{"changing method", plain, "POST", "/readyz", 405, "only GET and HEAD are answered here\n"},
		{"changing method on an unknown path", plain, "DELETE", "/x", 405, "only GET and HEAD are answered here\n"},
		{"profiles switched off", plain, "GET", "/debug/pprof/", 404, paths},
		{"profiles switched on", profiling, "GET", "/debug/pprof/", 200, "<html>…"},
		{"one profile", profiling, "GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total…"},
		{"profiles are listed", profiling, "GET", "/x", 404, "not found; the paths are:\n/debug/pprof/\n…"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest(tc.method, tc.path, nil)
			r.Host = "127.0.0.1:8081"
			tc.server.http.Handler.ServeHTTP(rec, r)
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
	} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(tc.method, tc.path, nil)
		r.Host = "127.0.0.1:8081"
		testServer(Config{}).http.Handler.ServeHTTP(rec, r)
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
