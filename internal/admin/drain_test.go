package admin

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
)

func TestDrain(t *testing.T) {
	drains := 0
	s := testServer(Config{Drain: func() { drains++ }, Proxy: fakeProxy{draining: true, sessions: 3}})
	const want = `{"draining":true,"sessions":3,"at_most_s":55}` + "\n"
	for range 2 {
		if got := s.ask(local("POST", "/api/drain")); got.Code != 202 || got.Body.String() != want {
			t.Errorf("%d %s, want 202 %s", got.Code, got.Body, want)
		}
	}
	got := s.ask(local("POST", "/api/drain?spread=1s"))
	if want := `"spread" is not a parameter; there are none here` + "\n"; got.Code != 400 || got.Body.String() != want {
		t.Errorf("%d %s, want 400 %s", got.Code, got.Body, want)
	}
	if drains != 2 {
		t.Errorf("Drain is called %d times, want 2", drains)
	}
}

func TestUpstreamsAreDrainedAndResumed(t *testing.T) {
	const (
		a1     = `{"name":"a.example:80","upstream":"ws://a.example:80","address":"192.0.2.1:80","state":"up","sessions":1,"handshakes":0}`
		a2     = `{"name":"a.example:80","upstream":"ws://a.example:80","address":"192.0.2.2:80","state":"up","sessions":2,"handshakes":0}`
		v6     = `{"name":"[2001:db8::1]:443","upstream":"wss://[2001:db8::1]:443","address":"[2001:db8::1]:443","state":"up","sessions":0,"handshakes":0}`
		socket = `{"name":"/run/app.sock","upstream":"unix:/run/app.sock","address":"/run/app.sock","state":"up","sessions":0,"handshakes":0}`
		names  = "; the names are:\na.example:80\n[2001:db8::1]:443\n/run/app.sock"
	)
	for _, tc := range []struct {
		path  string
		asked string // of the proxy
		code  int
		body  string
	}{
		{"a.example:80/drain", `drain "a.example:80" "" 20s`, 202, "[" + a1 + "," + a2 + "]"},
		{"a.example:80/drain?spread=60s", `drain "a.example:80" "" 1m0s`, 202, "[" + a1 + "," + a2 + "]"},
		{"a.example:80/drain?spread=0", `drain "a.example:80" "" 0s`, 202, "[" + a1 + "," + a2 + "]"},
		{"a.example:80/drain?spread=24h&address=192.0.2.2:80", `drain "a.example:80" "192.0.2.2:80" 24h0m0s`, 202, "[" + a2 + "]"},
		{"a.example:80/resume", `resume "a.example:80" ""`, 200, "[" + a1 + "," + a2 + "]"},
		{"a.example:80/resume?address=192.0.2.1%3A80", `resume "a.example:80" "192.0.2.1:80"`, 200, "[" + a1 + "]"},
		{"[2001:db8::1]:443/drain", `drain "[2001:db8::1]:443" "" 20s`, 202, "[" + v6 + "]"},
		{"%5B2001:db8::1%5D:443/drain?address=[2001:db8::1]:443", `drain "[2001:db8::1]:443" "[2001:db8::1]:443" 20s`, 202, "[" + v6 + "]"},
		{"%2Frun%2Fapp.sock/drain", `drain "/run/app.sock" "" 20s`, 202, "[" + socket + "]"},
		{"%2Frun%2Fapp.sock/resume", `resume "/run/app.sock" ""`, 200, "[" + socket + "]"},
		{"ws:%2F%2Fa.example:80/resume", `resume "a.example:80" ""`, 200, "[" + a1 + "," + a2 + "]"},
		{"ws://a.example:80/drain?address=192.0.2.2:80", `drain "a.example:80" "192.0.2.2:80" 20s`, 202, "[" + a2 + "]"},
		{"wss://[2001:db8::1]:443/drain", `drain "[2001:db8::1]:443" "" 20s`, 202, "[" + v6 + "]"},
		{"unix:/run/app.sock/drain", `drain "/run/app.sock" "" 20s`, 202, "[" + socket + "]"},
		{"/run/app.sock/drain", `drain "/run/app.sock" "" 20s`, 202, "[" + socket + "]"},

		{"b.example:80/drain", `drain "b.example:80" "" 20s`, 404, `no upstream has the name "b.example:80"` + names},
		{"ws:%2F%2Fb.example:80/drain", `drain "ws://b.example:80" "" 20s`, 404, `no upstream has the name "ws://b.example:80"` + names},
		{"ws://b.example:80/drain", `drain "ws://b.example:80" "" 20s`, 404, `no upstream has the name "ws://b.example:80"` + names},
		{"%1B/resume", `resume "\x1b" ""`, 404, `no upstream has the name "\x1b"` + names},
		{"a.example:80/drain?address=192.0.2.3:80", `drain "a.example:80" "192.0.2.3:80" 20s`, 404,
			`upstream "a.example:80" has no address "192.0.2.3:80"; its addresses are:` + "\n192.0.2.1:80\n192.0.2.2:80"},

		{"a.example:80/drain?spread=60", "", 400, `spread="60" is not a duration; write for example spread=60s`},
		{"a.example:80/drain?spread=soon", "", 400, `spread="soon" is not a duration; write for example spread=60s`},
		{"a.example:80/drain?spread=-1s", "", 400, "spread must not be negative"},
		{"a.example:80/drain?spread=24h1ns", "", 400, "spread must be at most 24h"},
		{"a.example:80/drain?spread=", "", 400, "spread is empty; leave it out, or give it a value"},
		{"a.example:80/drain?spread=1s&spread=2s", "", 400, "spread is there more than once"},
		{"a.example:80/drain?adr=x", "", 400, `"adr" is not a parameter; those here are: address, spread`},
		{"a.example:80/drain?a;b", "", 400, "the parameters cannot be read: invalid semicolon separator in query"},
		{"a.example:80/resume?spread=1s", "", 400, `"spread" is not a parameter; those here are: address`},
		{"a.example:80/resume?address=", "", 400, "address is empty; leave it out, or give it a value"},
	} {
		var asked []string
		s := testServer(Config{Spread: 20 * time.Second, Proxy: fakeProxy{asked: &asked, targets: []proxy.TargetStatus{
			{Upstream: "ws://a.example:80", Address: "192.0.2.1:80", State: proxy.TargetUp, Sessions: 1},
			{Upstream: "ws://a.example:80", Address: "192.0.2.2:80", State: proxy.TargetUp, Sessions: 2},
			{Upstream: "wss://[2001:db8::1]:443", Address: "[2001:db8::1]:443", State: proxy.TargetUp},
			{Upstream: "unix:/run/app.sock", Address: "/run/app.sock", State: proxy.TargetUp},
		}}})
		got := s.ask(local("POST", "/api/upstreams/"+tc.path))
		if got.Code != tc.code || got.Body.String() != tc.body+"\n" {
			t.Errorf("%s is answered %d %swant %d %s", tc.path, got.Code, got.Body, tc.code, tc.body)
		}
		if strings.Join(asked, "; ") != tc.asked {
			t.Errorf("%s: the proxy is asked %q, want %q", tc.path, asked, tc.asked)
		}
	}
}

// An upstream is known while its name leads to no address.
func TestUpstreamWithoutAnAddressIsDrained(t *testing.T) {
	const b = `[{"name":"b.example:80","upstream":"ws://b.example:80","address":"","state":"draining","sessions":0,"handshakes":0,` +
		`"reason":"lookup b.example: no such host"}]`
	for path, want := range map[string]string{
		"b.example:80/drain":       `202 drain "b.example:80" "" 0s: ` + b,
		"ws://b.example:80/drain":  `202 drain "b.example:80" "" 0s: ` + b,
		"b.example:80/resume":      `200 resume "b.example:80" "": ` + b,
		"ws://b.example:80/resume": `200 resume "b.example:80" "": ` + b,

		"b.example:80/drain?address=192.0.2.3:80": `404 drain "b.example:80" "192.0.2.3:80" 0s: ` +
			`upstream "b.example:80" has no address "192.0.2.3:80"; its name leads to no address`,
		"c.example:80/resume": `404 resume "c.example:80" "": no upstream has the name "c.example:80"; the names are:` +
			"\na.example:80\nb.example:80",
	} {
		var asked []string
		s := testServer(Config{Proxy: fakeProxy{asked: &asked, targets: []proxy.TargetStatus{
			{Upstream: "ws://a.example:80", Address: "192.0.2.1:80", State: proxy.TargetUp},
			{Upstream: "ws://b.example:80", State: proxy.TargetDraining, Reason: "lookup b.example: no such host"},
		}}})
		answer := s.ask(local("POST", "/api/upstreams/"+path))
		if got := fmt.Sprintf("%d %s: %s", answer.Code, strings.Join(asked, "; "), answer.Body); got != want+"\n" {
			t.Errorf("%s\nis answered %swant        %s", path, got, want)
		}
	}
}

// Where no upstream is left for new clients, the answer and the log say so.
func TestLastUpstreamIsDrained(t *testing.T) {
	var said strings.Builder
	s := testServer(Config{Log: slog.New(slog.NewTextHandler(&said, nil)), Proxy: fakeProxy{down: true, asked: new([]string), targets: []proxy.TargetStatus{
		{Upstream: "ws://a.example:80", Address: "192.0.2.1:80", State: proxy.TargetDraining},
	}}})
	const want = `[{"name":"a.example:80","upstream":"ws://a.example:80","address":"192.0.2.1:80","state":"draining","sessions":0,"handshakes":0,` +
		`"warning":"no other upstream is up: new clients get 503"}]` + "\n"
	if got := s.ask(local("POST", "/api/upstreams/a.example:80/drain")); got.Code != 202 || got.Body.String() != want {
		t.Errorf("%d %s, want 202 %s", got.Code, got.Body, want)
	}
	if want := "level=WARN msg=\"an operator has taken an upstream out of use, and no other upstream is up: new clients get 503\" client=127.0.0.1:40000 name=a.example:80"; !strings.Contains(said.String(), want) {
		t.Errorf("the log says\n%swant\n%s", said.String(), want)
	}
}

// A POST is never answered with a redirect, which a program would have to follow.
func TestChangesAreNotRedirected(t *testing.T) {
	s := testServer(Config{})
	for _, path := range []string{"//api/drain", "/api//drain", "/api/upstreams/../drain", "/api/./drain", "/api/drain/", "/api/upstreams//drain"} {
		if got := s.ask(local("POST", path)); got.Code != 404 || got.Body.Len() == 0 {
			t.Errorf("POST %s is answered %d %q, want 404 and what there is", path, got.Code, got.Body)
		}
	}
}
