package admin

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/status"
	"holdfast/metrics"
	"holdfast/proxy"
)

func TestSessionsAreListed(t *testing.T) {
	for _, tc := range []struct {
		query string
		asked string // of the proxy; empty: nothing
		code  int
		body  string // of an error
	}{
		{"", `list age false "" 200`, 200, ""},
		{"?limit=1000&sort=buffered&order=asc&filter=/chat", `list buffered true "/chat" 1000`, 200, ""},
		{"?sort=client_rtt&order=desc", `list client_rtt false "" 200`, 200, ""},
		{"?filter=%C3%BC%20%26", `list age false "ü &" 200`, 200, ""},
		{"?limit=0", "", 400, `limit="0" is not a number from 1 to 1000`},
		{"?limit=1001", "", 400, `limit="1001" is not a number from 1 to 1000`},
		{"?limit=many", "", 400, `limit="many" is not a number from 1 to 1000`},
		{"?sort=name", "", 400, `sort="name" is not one of age, idle, client_rtt, upstream_rtt, buffered`},
		{"?order=up", "", 400, `order="up" is not one of desc, asc`},
		{"?filter=", "", 400, "filter is empty; leave it out, or give it a value"},
		{"?page=2", "", 400, `"page" is not a parameter; those here are: limit, sort, order, filter`},
	} {
		var asked []string
		s := testServer(Config{Proxy: fakeProxy{asked: &asked}})
		got := s.ask(local("GET", "/api/sessions"+tc.query))
		if want := tc.body + "\n"; got.Code != tc.code || tc.body != "" && got.Body.String() != want {
			t.Errorf("%q is answered %d %s, want %d %s", tc.query, got.Code, got.Body, tc.code, want)
		}
		if strings.Join(asked, "; ") != tc.asked {
			t.Errorf("%q: the proxy is asked %q, want %q", tc.query, asked, tc.asked)
		}
	}
}

// openSession has the name "10".
var openSession = proxy.SessionStatus{ID: 36, Client: netip.MustParseAddrPort("192.0.2.1:1234"), Path: "/chat", State: proxy.SessionLive}

func TestSessionIsClosed(t *testing.T) {
	const unknown = "no open session has this id; the log and /api/sessions have the ids\n"
	for _, tc := range []struct {
		path  string
		asked string
		code  int
		body  string // its beginning
	}{
		{"10/close", "close 36", 202, `{"id":"10","client":"192.0.2.1:1234","path":"/chat",`},
		{"11/close", "close 37", 404, unknown},
		{"010/close", "", 404, unknown},
		{"x%2Fy/close", "", 404, unknown},
		{"10/close?now=1", "", 400, `"now" is not a parameter; there are none here`},
	} {
		var asked []string
		s := testServer(Config{Proxy: fakeProxy{asked: &asked, open: []proxy.SessionStatus{openSession}}})
		got := s.ask(local("POST", "/api/sessions/"+tc.path))
		if got.Code != tc.code || !strings.HasPrefix(got.Body.String(), tc.body) {
			t.Errorf("%s is answered %d %s, want %d %s", tc.path, got.Code, got.Body, tc.code, tc.body)
		}
		if strings.Join(asked, "; ") != tc.asked {
			t.Errorf("%s: the proxy is asked %q, want %q", tc.path, asked, tc.asked)
		}
	}
}

// newBook returns a Book with ends of these ids.
func newBook(ids ...uint64) *status.Book {
	b := status.New("v1", metrics.New("test").Snapshot, time.Now())
	for _, id := range ids {
		b.Ended(time.Now(), &proxy.Ended{ID: id, Path: "/chat", Side: metrics.Client, Reason: metrics.EOF})
	}
	return b
}

func TestEndsAreListed(t *testing.T) {
	s := testServer(Config{Book: newBook(1, 2, 3)})
	for query, want := range map[string][]string{"": {"3", "2", "1"}, "?limit=2": {"3", "2"}, "?limit=100": {"3", "2", "1"}} {
		var got status.EndList
		if err := json.Unmarshal(s.ask(local("GET", "/api/ends"+query)).Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, e := range got.Ends {
			ids = append(ids, e.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%q is answered with %v, want %v", query, ids, want)
		}
	}
	if got := s.ask(local("GET", "/api/ends?limit=101")); got.Code != 400 {
		t.Errorf("more ends than are kept: %d %s", got.Code, got.Body)
	}
}

func TestConfigurationIsShown(t *testing.T) {
	s := testServer(Config{Variables: []status.Variable{{Name: "HOLDFAST_ADMIN_TOKEN", Value: status.Hidden, Source: "file", From: "X", Meaning: "m", Secret: true}}})
	want := `{"variables":[{"name":"HOLDFAST_ADMIN_TOKEN","value":"(hidden)","source":"file","from":"X","meaning":"m","secret":true}]}` + "\n"
	if got := s.ask(local("GET", "/api/configuration")).Body.String(); got != want {
		t.Errorf("the configuration is %s, want %s", got, want)
	}
}

// The status says what its reader may ask for, and is for everyone.
func TestStatus(t *testing.T) {
	p := fakeProxy{sessions: 3, targets: []proxy.TargetStatus{{Upstream: "ws://a.example:80", Address: "192.0.2.1:80", State: proxy.TargetUp, Sessions: 3}}}
	s := testServer(Config{Proxy: p, Token: secret})
	for _, tc := range []struct {
		name, from, token string
		may               bool
	}{
		{"this host", "127.0.0.1:5", "", true},
		{"another host", "192.0.2.7:5", "", false},
		{"another host with the token", "192.0.2.7:5", secret, true},
		{"another host with a wrong token", "192.0.2.7:5", "x", false},
	} {
		r := local("GET", "/api/status")
		r.RemoteAddr = tc.from
		if tc.token != "" {
			r.Header.Set("Authorization", "Bearer "+tc.token)
		}
		rec := s.ask(r)
		var got status.Status
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != 200 {
			t.Fatalf("%s: %d %s, %v", tc.name, rec.Code, rec.Body, err)
		}
		if want := (status.May{List: tc.may, Act: tc.may}); got.May != want {
			t.Errorf("%s: may is %+v, want %+v", tc.name, got.May, want)
		}
		if !got.Ready || got.Draining || got.Version != "v1" || got.Sessions != 3 || got.SessionsLimit != 9 || got.Handshakes != 1 || got.DrainLeft <= 54 {
			t.Errorf("%s: the status is %+v", tc.name, got)
		}
		if len(got.Upstreams) != 1 || got.Upstreams[0].Name != "a.example:80" {
			t.Errorf("%s: the upstreams are %+v", tc.name, got.Upstreams)
		}
	}
	for name, p := range map[string]fakeProxy{"draining": {draining: true}, "down": {down: true}} {
		var got status.Status
		if err := json.Unmarshal(testServer(Config{Proxy: p}).ask(local("GET", "/api/status")).Body.Bytes(), &got); err != nil || got.Ready {
			t.Errorf("%s: the status is %+v, %v", name, got, err)
		}
	}
}

// The page shows what the API answers to the same client.
func TestPage(t *testing.T) {
	asked := new([]string)
	p := fakeProxy{asked: asked, sessions: 3, targets: []proxy.TargetStatus{
		{Upstream: "unix:/run/<b>.sock", Address: "/run/<b>.sock", State: proxy.TargetDown, Reason: "<script>", Sessions: 1},
	}}
	s := testServer(Config{Proxy: p})
	got := s.ask(local("GET", "/?sort=idle&order=asc&filter=chat"))
	text := got.Body.String()
	for _, want := range []string{"Holdfast keeps 3 sessions alive.", "/run/&lt;b&gt;.sock", "&lt;script&gt;", `id="filter"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "<script>") || strings.Contains(text, "<b>") {
		t.Errorf("the page has text as HTML:\n%s", text)
	}
	if want := []string{`list idle true "chat" 200`}; !slices.Equal(*asked, want) {
		t.Errorf("the proxy is asked %q, want %q", *asked, want)
	}
	if csp := got.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") {
		t.Errorf("the policy is %q", csp)
	}
	*asked = nil
	stranger := local("GET", "/")
	stranger.RemoteAddr = "192.0.2.7:5"
	if text := s.ask(stranger).Body.String(); strings.Contains(text, `id="filter"`) || len(*asked) > 0 {
		t.Errorf("a stranger sees the sessions, the proxy is asked %q:\n%s", *asked, text)
	}
	if style := s.ask(local("GET", "/assets/style.css")); style.Code != 200 {
		t.Errorf("its style is answered %d", style.Code)
	}
}
