package admin

import (
	"net/http"
	"slices"
	"testing"
)

const secret = "open-sesame-0123456789"

func TestWhoMayAsk(t *testing.T) {
	const ok, none, wrong, foreign = "", "Bearer", `Bearer error="invalid_token"`, ""
	bearer := []string{"Authorization", "Bearer " + secret}
	for _, tc := range []struct {
		name     string
		from     string
		token    string // of the configuration
		fields   []string
		may      int // the status of what only operators may ask for; 0: they may
		wantAuth string
	}{
		{"this host", "127.0.0.1:5", "", nil, 0, ok},
		{"this host, IPv6", "[::1]:5", "", nil, 0, ok},
		{"this host, IPv4 in IPv6", "[::ffff:127.0.0.1]:5", "", nil, 0, ok},
		{"another of this host's", "127.8.8.8:5", secret, nil, 0, ok},
		{"this host with the token", "127.0.0.1:5", secret, bearer, 0, ok},
		{"this host with a wrong token", "127.0.0.1:5", secret, []string{"Authorization", "Bearer x"}, 401, wrong},
		{"this host with a token that nobody asked for", "127.0.0.1:5", "", bearer, 403, foreign},
		{"another host", "192.0.2.7:5", "", nil, 403, foreign},
		{"another host, and a token is set", "192.0.2.7:5", secret, nil, 401, none},
		{"another host with the token", "192.0.2.7:5", secret, bearer, 0, ok},
		{"another host, IPv6, with the token", "[2001:db8::1]:5", secret, bearer, 0, ok},
		{"spelt otherwise", "192.0.2.7:5", secret, []string{"Authorization", "bEARER  " + secret}, 0, ok},
		{"another host with a token, and none is set", "192.0.2.7:5", "", bearer, 403, foreign},
		{"an empty token, and none is set", "192.0.2.7:5", "", []string{"Authorization", "Bearer "}, 403, foreign},
		{"an empty token", "192.0.2.7:5", secret, []string{"Authorization", "Bearer "}, 401, wrong},
		{"the beginning of the token", "192.0.2.7:5", secret, []string{"Authorization", "Bearer " + secret[:5]}, 401, wrong},
		{"more than the token", "192.0.2.7:5", secret, []string{"Authorization", "Bearer " + secret + "x"}, 401, wrong},
		{"the token alone", "192.0.2.7:5", secret, []string{"Authorization", secret}, 401, wrong},
		{"another scheme", "192.0.2.7:5", secret, []string{"Authorization", "Basic " + secret}, 401, wrong},
		{"nothing, from this host", "127.0.0.1:5", secret, []string{"Authorization", ""}, 401, wrong},
		{"two tokens", "192.0.2.7:5", secret, append(bearer, "Authorization", "Bearer x"), 401, wrong},
		{"for another, RFC 7239", "127.0.0.1:5", "", []string{"Forwarded", "for=192.0.2.7"}, 403, foreign},
		{"for another", "127.0.0.1:5", "", []string{"X-Forwarded-For", "127.0.0.1"}, 403, foreign},
		{"for another, who is not named", "[::1]:5", "", []string{"X-Forwarded-Proto", "https"}, 403, foreign},
		{"for another, as nginx says it", "127.0.0.1:5", "", []string{"X-Real-IP", "192.0.2.7"}, 403, foreign},
		{"through a proxy", "127.0.0.1:5", "", []string{"Via", "1.1 x"}, 403, foreign},
		{"for another, and a token is set", "127.0.0.1:5", secret, []string{"X-Forwarded-Host", "x"}, 401, none},
		{"for another, who knows the token", "127.0.0.1:5", secret, append(bearer, "X-Forwarded-For", "192.0.2.7"), 0, ok},
		{"nobody knows who", "@", "", nil, 403, foreign},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := new([]string)
			s := testServer(Config{Token: tc.token, Proxy: fakeProxy{asked: asked}, Profiling: true})
			for _, at := range []struct {
				method, path string
				status       int // if the client may ask
				forAll       bool
			}{
				{"GET", "/healthz", 200, true},
				{"GET", "/readyz", 200, true},
				{"GET", "/metrics", 200, true},
				{"GET", "/debug/pprof/cmdline", 200, true},
				{"GET", "/api/upstreams", 200, true},
				{"HEAD", "/api/upstreams", 200, true},
				{"POST", "/api/drain", 202, false},
				{"POST", "/api/upstreams/x/drain", 404, false},
				{"POST", "/api/upstreams/x/resume", 404, false},
				{"GET", "/", 200, true},
				{"GET", "/api/status", 200, true},
				{"HEAD", "/api/events", 200, true},
				{"GET", "/api/sessions", 200, false},
				{"GET", "/api/ends", 200, false},
				{"GET", "/api/configuration", 200, false},
				{"POST", "/api/sessions/10/close", 404, false},
			} {
				r := local(at.method, at.path)
				r.RemoteAddr = tc.from
				for pair := range slices.Chunk(tc.fields, 2) {
					r.Header.Add(pair[0], pair[1])
				}
				got, want := s.ask(r), at.status
				if tc.may != 0 && !at.forAll {
					want = tc.may
				}
				if got.Code != want {
					t.Errorf("%s %s is answered %d, want %d: %s", at.method, at.path, got.Code, want, got.Body)
				}
				if auth := got.Header().Get("WWW-Authenticate"); !at.forAll && auth != tc.wantAuth {
					t.Errorf("%s %s asks for %q, want %q", at.method, at.path, auth, tc.wantAuth)
				}
				if got.Code == 403 && got.Body.String() != noToken+"\n" {
					t.Errorf("%s %s is not told what to do: %s", at.method, at.path, got.Body)
				}
			}
			if tc.may != 0 && len(*asked) > 0 {
				t.Errorf("the proxy is asked %q", *asked)
			}
		})
	}
}

// A page of another origin must not change anything by a visitor's browser.
func TestPagesMayNotAsk(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fields map[string]string
		want   int
	}{
		{"a program", nil, 202},
		{"another site", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"another port of this host", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"a page of this listener", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8081"}, 202},
		{"typed in", map[string]string{"Sec-Fetch-Site": "none"}, 202},
		{"an old browser, another site", map[string]string{"Origin": "https://evil.example"}, 403},
		{"an old browser, another port", map[string]string{"Origin": "http://127.0.0.1:8080"}, 403},
		{"an old browser, a page of this listener", map[string]string{"Origin": "http://127.0.0.1:8081"}, 202},
		{"a page without an origin", map[string]string{"Origin": "null"}, 403},
	} {
		drained := false
		s := testServer(Config{Token: secret, Drain: func() { drained = true }})
		for _, knows := range []bool{false, true} {
			r := local(http.MethodPost, "/api/drain")
			for name, value := range tc.fields {
				r.Header.Set(name, value)
			}
			if knows {
				r.Header.Set("Authorization", "Bearer "+secret)
			}
			drained = false
			if got := s.ask(r); got.Code != tc.want || drained != (tc.want == 202) {
				t.Errorf("%s: %d %s, and it drains: %v; want %d", tc.name, got.Code, got.Body, drained, tc.want)
			}
		}
	}
}
