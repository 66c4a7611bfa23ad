package admin

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A page whose name was made to resolve to this machine must not read what is here.
func TestHosts(t *testing.T) {
	const machine = "Web1.example.com"
	named := testServer(Config{Host: machine, Profiling: true}).http.Handler
	nameless := testServer(Config{Profiling: true}).http.Handler
	for _, tc := range []struct {
		host    string
		handler http.Handler
		ours    bool
	}{
		{"127.0.0.1:8081", named, true},
		{"127.0.0.1", named, true},
		{"192.0.2.7:80", named, true},
		{"[::1]:8081", named, true},
		{"[2001:db8::1]", named, true},
		{"localhost:8081", named, true},
		{"LOCALHOST", named, true},
		{"localhost.", named, true},
		{"web1.example.com:8081", named, true},
		{"WEB1.example.com.", named, true},
		{"web1", named, true},
		{"web1", nameless, false},
		{"localhost", nameless, true},
		{"[::1", named, false},
		{"::1]", named, false},
		{"[127.0.0.1]", named, false},
		{"[localhost]:8081", named, false},
		{"[::1]evil.example", named, false},
		{"", nameless, false},
		{"", named, false},
		{":8081", named, false},
		{".", nameless, false},
		{"evil.example", named, false},
		{"web1.evil.example", named, false},
		{"evil.web1.example.com", named, false},
		{"example.com", named, false},
		{"localhost.evil.example:8081", named, false},
		{"127.0.0.1.evil.example", named, false},
		{"127.0.0.1@evil.example", named, false},
		{"127.0.0.1:8081:evil.example", named, false},
	} {
		for _, path := range []string{"/", "/api/sessions", "/api/upstreams", "/debug/pprof/", "/debug/pprof/cmdline", "/healthz/x"} {
			wantsMisdirected(t, tc.handler, "GET", path, tc.host, !tc.ours)
		}
		for _, path := range []string{"/api/drain", "/api/upstreams/x/drain", "/api/upstreams/x/resume"} {
			wantsMisdirected(t, tc.handler, "POST", path, tc.host, !tc.ours)
		}
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			wantsMisdirected(t, tc.handler, "GET", path, tc.host, false)
			wantsMisdirected(t, tc.handler, "HEAD", path, tc.host, false)
			wantsMisdirected(t, tc.handler, "POST", path, tc.host, !tc.ours)
		}
	}
}

func wantsMisdirected(t *testing.T, handler http.Handler, method, path, host string, want bool) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	if got := rec.Code == http.StatusMisdirectedRequest; got != want {
		t.Errorf("%s %s with Host %q is answered %d; misdirected: %t, want %t", method, path, host, rec.Code, got, want)
	}
	if want && rec.Body.String() != foreignHost+"\n" {
		t.Errorf("%s %s with Host %q is not told what to do: %q", method, path, host, rec.Body)
	}
}
