package page

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/status"
	"holdfast/metrics"
	"holdfast/proxy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// seen is what an operator sees: answers of the API in testdata.
func seen(t *testing.T) Seen {
	t.Helper()
	s := Seen{Query: QueryOf(nil), LimitedBy: "HOLDFAST_MAX_SESSIONS", Spread: 20 * time.Second, DrainCode: 1012, Host: "127.0.0.1:9901"}
	var ends status.EndList
	var settings status.Configuration
	for name, into := range map[string]any{
		"status": &s.Status, "sessions": &s.Sessions, "ends": &ends, "configuration": &settings,
	} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	s.Ends, s.Variables = ends.Ends, settings.Variables
	return s
}

// guest is what a client without an operator's rights sees.
func guest(t *testing.T) Seen {
	t.Helper()
	return Seen{Status: func() status.Status { s := seen(t).Status; s.May = status.May{}; return s }(), Host: "127.0.0.1:9901"}
}

func written(t *testing.T, s Seen) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	Write(w, s)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w
}

func TestGolden(t *testing.T) {
	for name, s := range map[string]Seen{"operator": seen(t), "guest": guest(t), "new": {Status: status.Status{Ready: true, Version: "v1.4.0"}}} {
		got := written(t, s).Body.Bytes()
		file := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs; `go test ./internal/page -update` writes it anew", file)
		}
	}
}

// Peers choose their paths, and upstreams their reasons. None of it becomes markup.
func TestTextOfPeersIsText(t *testing.T) {
	const evil = `"'><img src=x onerror=alert(1)><script>alert(2)</script>{{.}}`
	s := seen(t)
	s.Query.Filter = evil
	s.Sessions.Sessions[0] = status.Session{ID: evil, Client: evil, Path: evil, Upstream: evil, Address: evil, State: evil}
	s.Ends[0] = status.End{ID: evil, Client: evil, Path: evil, Side: evil, Reason: evil, Detail: evil}
	s.Status.Version = evil
	s.Status.Upstreams[0] = status.Upstream{Name: evil, Upstream: evil, Address: evil, Reason: evil, State: evil}
	s.Status.Ends.Dropped = append(s.Status.Ends.Dropped, status.Dropped{Side: evil, Reason: evil, Count: 1})
	s.Variables[0] = status.Variable{Name: evil, Value: evil, Source: evil, Meaning: evil}
	page := written(t, s).Body.String()
	for _, markup := range []string{"<img src=x", "<script>", `"'>`, " onerror=alert(1)>"} {
		if at := strings.Index(page, markup); at >= 0 {
			t.Errorf("%q stands in the page: …%s…", markup, page[max(0, at-60):min(len(page), at+60)])
		}
	}
}

// Nothing of the page needs what its policy forbids, or comes from elsewhere.
func TestPolicy(t *testing.T) {
	w := written(t, seen(t))
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy+";", want+";") {
			t.Errorf("the policy %q has no %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	page := w.Body.String()
	for _, inline := range []string{`<script>`, `<style`, ` style=`, ` on[a-z]+=`, `javascript:`, `(src|href)="(https?:)?//`} {
		if found := regexp.MustCompile(`<[^>&]*` + inline).FindString(page); found != "" {
			t.Errorf("the page has %s", found)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAssets(t *testing.T) {
	for name, want := range map[string]string{
		"page.js": "text/javascript; charset=utf-8", "theme.js": "text/javascript; charset=utf-8",
		"style.css": "text/css; charset=utf-8", "status.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest("GET", "/assets/"+name, nil))
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != want {
			t.Errorf("%s: status %d, %s, want 200, %s", name, w.Code, got, want)
		}
		elsewhere := regexp.MustCompile(`https?://[a-z0-9.]+`).FindAllString(w.Body.String(), -1)
		for _, url := range elsewhere {
			if url != "http://www.w3.org" { // the namespace of SVG
				t.Errorf("%s names %s", name, url)
			}
		}
	}
	for _, path := range []string{"/assets/", "/assets/x.js", "/assets/../page.html", "/assets/sub/page.js", "/page.html"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		Assets().ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, w.Code)
		}
	}
	page := written(t, seen(t)).Body.String()
	for _, link := range regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest("GET", link[1], nil))
		if w.Code != http.StatusOK {
			t.Errorf("the page links %s: status %d", link[1], w.Code)
		}
	}
}

func TestStateInASentence(t *testing.T) {
	up := status.Upstream{State: proxy.TargetUp}
	down := status.Upstream{State: proxy.TargetDown, Name: "a.example:80", Address: "192.0.2.1:80"}
	draining := status.Upstream{State: proxy.TargetDraining, Name: "192.0.2.2:80", Address: "192.0.2.2:80"}
	frozen := status.Upstream{State: proxy.TargetUp, Handshakes: 12}
	p50 := 1.25
	measured := status.Status{Ready: true, Sessions: 1204, SessionsLimit: 9900, Upstreams: []status.Upstream{up}}
	measured.Legs.Client.RTT.P50 = &p50
	other, both := status.Status{Ready: true, Sessions: 2}, measured
	other.Legs.Upstream.RTT.P50, both.Legs.Upstream.RTT.P50 = &p50, new(3.5)
	for _, tc := range []struct {
		is       status.Status
		level    level
		sentence string
		detail   string
	}{
		{status.Status{Ready: true}, good, "Holdfast is ready, and no session is open.", "It pings both ends of each session from the first one on."},
		{status.Status{Ready: true, Sessions: 1}, good, "Holdfast keeps 1 session alive.", "No ping has come back yet."},
		{measured, good, "Holdfast keeps 1,204 sessions alive.", "Half of all pings come back from clients within 1.2 ms."},
		{other, good, "Holdfast keeps 2 sessions alive.", "Half of all pings come back from upstreams within 1.2 ms."},
		{both, good, "Holdfast keeps 1,204 sessions alive.",
			"Half of all pings come back within 1.2 ms from clients, and within 3.5 ms from upstreams."},
		{status.Status{Ready: true, Sessions: 3, Upstreams: []status.Upstream{up, down, draining}}, warn, "Holdfast keeps 3 sessions alive.",
			"1 upstream is down: 192.0.2.1:80 (a.example:80). 1 upstream is out of use: an operator drains 192.0.2.2:80."},
		{status.Status{Ready: true, Sessions: 3, Upstreams: []status.Upstream{down, down, down, down, up}}, warn, "Holdfast keeps 3 sessions alive.",
			"4 upstreams are down: 192.0.2.1:80 (a.example:80), 192.0.2.1:80 (a.example:80), 192.0.2.1:80 (a.example:80) and 1 more."},
		{status.Status{Ready: true, Sessions: 120, Upstreams: []status.Upstream{frozen}}, warn,
			"Holdfast keeps 120 sessions alive, and 12 clients wait for an upstream's answer.", "The table of upstreams says at which address they wait."},
		{status.Status{Ready: true, Sessions: 121, Upstreams: []status.Upstream{frozen}}, good, "Holdfast keeps 121 sessions alive.", "No ping has come back yet."},
		{status.Status{Ready: true, Upstreams: []status.Upstream{frozen}}, warn,
			"12 clients wait for an upstream's answer, and no session is open.", "The table of upstreams says at which address they wait."},
		{status.Status{Ready: true, Sessions: 7, PlacesTaken: 9, SessionsLimit: 9}, bad, "Holdfast is full: it keeps 7 sessions alive, and has no place for more.",
			"2 handshakes take places too. New clients are refused with 503. The limit is HOLDFAST_MAX_SESSIONS, or what the descriptors allow."},
		{status.Status{Ready: true, Sessions: 9, PlacesTaken: 9, SessionsLimit: 9}, bad, "Holdfast is full: it keeps 9 sessions alive, and has no place for more.",
			"New clients are refused with 503. The limit is HOLDFAST_MAX_SESSIONS, or what the descriptors allow."},
		{status.Status{Sessions: 1}, bad, "Holdfast is not ready: no upstream is up.", "1 session is open. New clients are turned away until an upstream works again."},
		{status.Status{Draining: true, Sessions: 2, DrainLeft: 54}, warn, "Holdfast drains: 2 sessions are left.", "It takes no new clients. The drain takes at most 54 s more."},
		{status.Status{Draining: true, Accepts: true, Sessions: 2, DrainLeft: 54}, warn, "Holdfast begins to drain: 2 sessions are open.",
			"It still accepts clients, until the balancer has noticed that it is not ready. The drain takes at most 54 s more."},
		{status.Status{Draining: true}, warn, "Holdfast has drained: no session is left.", "It takes no new clients."},
	} {
		if got := stateOf(Seen{Status: tc.is}); got.Level != tc.level || got.Sentence != tc.sentence || got.Detail != tc.detail {
			t.Errorf("%+v\nis said to be %q: %q %q", tc.is, got.Level, got.Sentence, got.Detail)
		}
	}
	calm := stateOf(Seen{Status: measured}).Key
	measured.Sessions++
	if stateOf(Seen{Status: measured}).Key != calm {
		t.Error("another number of sessions is told as another state")
	}
	if measured.Upstreams[0] = down; stateOf(Seen{Status: measured}).Key == calm {
		t.Error("an upstream that is down is not told")
	}
	full := Seen{Status: status.Status{Ready: true, Sessions: 9, PlacesTaken: 9, SessionsLimit: 9}, LimitedBy: "HOLDFAST_MAX_SESSIONS"}
	if got, want := stateOf(full).Detail, "New clients are refused with 503. The limit of 9 places comes from HOLDFAST_MAX_SESSIONS."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Each reason and each result that is counted has words.
func TestEverythingCountedHasWords(t *testing.T) {
	for _, side := range []metrics.Side{metrics.Client, metrics.Upstream, metrics.Proxy} {
		for reason := metrics.PingTimeout; reason <= metrics.Internal; reason++ {
			if _, known := why[side.String()][reason.String()]; known != metrics.LegalDrop(side, reason) {
				t.Errorf("%s %s has words: %v", side, reason, known)
			}
		}
	}
	known := map[string]bool{metrics.ResultOK.String(): true}
	for _, r := range results {
		known[r.name] = true
	}
	for result := metrics.ResultOK; result <= metrics.ResultInternal; result++ {
		if !known[result.String()] {
			t.Errorf("%s has no words", result)
		}
	}
}

func TestSentences(t *testing.T) {
	for want, got := range map[string]string{
		"12 clients stopped answering pings: their network, most likely.":            dropped("client", "ping_timeout", 12),
		"1 client stopped answering pings: its network, most likely.":                dropped("client", "ping_timeout", 1),
		"In 1 session the upstream broke the WebSocket protocol.":                    dropped("upstream", "protocol_error", 1),
		"Holdfast ended 1,000 sessions because they had reached their greatest age.": dropped("proxy", "max_duration", 1000),
		"Holdfast ended 1 session because it had reached its greatest age.":          dropped("proxy", "max_duration", 1),
		"2 clients (of another kind).":                                               dropped("client", "of_another_kind", 2),
		"1 session was closed by its client.":                                        closed("client", 1),
		"The client stopped answering pings: its network, most likely.":              ended(status.End{Side: "client", Reason: "ping_timeout"}),
		"The upstream reset the connection without a Close.":                         ended(status.End{Side: "upstream", Reason: "reset"}),
		"Holdfast ended it because an operator asked for it.":                        ended(status.End{Side: "proxy", Reason: "admin"}),
		"The client closed it in order.":                                             ended(status.End{Side: "client", Closed: true}),
		"3 sessions were closed by their upstreams.":                                 closed("upstream", 3),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestFigures(t *testing.T) {
	ms := func(v float64) string { return milliseconds(&v) }
	for want, got := range map[string]string{
		none: milliseconds(nil), "0.05 ms": ms(.05), "9.9 ms": ms(9.94), "41 ms": ms(41.2), "1.2 s": ms(1234),
		"0": count(0), "999": count(999), "1,000": count(1000), "1,234,567": count(1234567),
		"0 B": size(0), "1 B": size(.2), "999 B": size(999), "1.0 KiB": size(1024), "18 KiB": size(18432), "2.0 MiB": size(2 << 20),
		"9.9 s": span(9.94), "59 s": span(59.9), "1 min 1 s": span(61), "2 h 5 min": span(7500), "3 d 4 h": span(273907),
		"15 minutes": roughly(900), "1 second": roughly(1), "30 seconds": roughly(30),
		"short": shortened("short", 9), "abcd…wxyz": shortened("abcdefghijklmnopqrstuvwxyz", 9),
		"0.5 ms": bound(.5), "20 s": bound(20000),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestQuery(t *testing.T) {
	for given, want := range map[string]proxy.SessionQuery{
		"":                                {Order: proxy.ByAge, Limit: listed},
		"sort=idle&order=asc&filter=+a+":  {Order: proxy.ByIdle, Ascending: true, Filter: "a", Limit: listed},
		"sort=nothing&order=up&filter=&x": {Order: proxy.ByAge, Limit: listed},
	} {
		parameters, err := url.ParseQuery(given)
		if err != nil {
			t.Fatal(err)
		}
		got := QueryOf(parameters)
		if got != want {
			t.Errorf("%q asks for %+v, want %+v", given, got, want)
		}
		if again := QueryOf(parametersOf(got)); again != got {
			t.Errorf("%+v is written as %v, which asks for %+v", got, parametersOf(got), again)
		}
	}
}

// A guest is told how to see more, and sees no address of a client.
func TestGuest(t *testing.T) {
	page := written(t, guest(t)).Body.String()
	for _, hidden := range []string{"data-act", "198.51.100.", "HOLDFAST_UPSTREAM", `id="filter"`} {
		if strings.Contains(page, hidden) {
			t.Errorf("a guest sees %s", hidden)
		}
	}
	for _, want := range []string{"paste the value of HOLDFAST_ADMIN_TOKEN", "ssh -L 9901:127.0.0.1:9901 HOST", `<form id="token"`} {
		if !strings.Contains(page, want) {
			t.Errorf("a guest does not see %s", want)
		}
	}
	wrong := guest(t)
	wrong.Authorized = true
	if page := written(t, wrong).Body.String(); !strings.Contains(page, "The token is not the value of HOLDFAST_ADMIN_TOKEN") {
		t.Error("a guest is not told that the token is wrong")
	}
}

// The picture has all targets, or says how many more there are, and stays inside its frame.
func TestPicture(t *testing.T) {
	for n := range 9 {
		var s status.Status
		for range n {
			s.Upstreams = append(s.Upstreams, status.Upstream{Address: "192.0.2.1:9000", State: proxy.TargetUp, Sessions: 1})
		}
		c := sceneOf(s, stateOf(Seen{Status: s}))
		for _, p := range []picture{wide(c), tall(c)} {
			if want := 2 + min(n, drawn); len(p.Boxes) != want {
				t.Errorf("%d targets, %s: %d boxes, want %d", n, p.Class, len(p.Boxes), want)
			}
			for _, b := range p.Boxes {
				if b.X < 0 || b.Y < 0 || b.X+b.W > p.W || b.Y+b.H > p.H {
					t.Errorf("%d targets, %s of %v × %v: the box %q at %v, %v, %v × %v", n, p.Class, p.W, p.H, b.Title, b.X, b.Y, b.W, b.H)
				}
			}
			if n > drawn && p.Boxes[len(p.Boxes)-1].Title != count(n-drawn+1)+" more addresses" {
				t.Errorf("%d targets, %s: the last box is %q", n, p.Class, p.Boxes[len(p.Boxes)-1].Title)
			}
		}
	}
}

// An upstream whose name leads to no address is called by its name: in the table, in what
// its button says, in the sentence and in the picture.
func TestUpstreamWithoutAnAddress(t *testing.T) {
	s := seen(t)
	down := status.Upstream{Name: "lost.example:80", Upstream: "ws://lost.example:80", State: proxy.TargetDown, Reason: "lookup lost.example: no such host"}
	draining := down
	draining.Name, draining.Upstream, draining.State = "other.example:80", "ws://other.example:80", proxy.TargetDraining
	s.Status.Upstreams = []status.Upstream{down, draining}
	page := written(t, s).Body.String()
	for _, want := range []string{
		`data-label="Address" class="text">no address</td>`,
		`<span class="reason">lookup lost.example: no such host</span>`,
		`data-act="drain" data-name="lost.example:80" data-address="" data-sessions="0" aria-label="Drain lost.example:80"`,
		`data-act="resume" data-name="other.example:80" data-address="" aria-label="Resume other.example:80"`,
		"1 upstream is down: lost.example:80 (no address).",
		"an operator drains other.example:80 (no address).",
		"between clients and 0 upstream addresses, and 2 upstreams without an address.",
		"ws://lost.example:80, without an address", "no address · down",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	many := slices.Repeat([]status.Upstream{{Address: "192.0.2.1:80", State: proxy.TargetUp}}, drawn)
	c := sceneOf(status.Status{Upstreams: append(many, down)}, state{})
	if got := c.targets[drawn-1].Title; got != "2 more upstreams" {
		t.Errorf("the last box is %q", got)
	}
}
