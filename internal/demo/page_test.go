package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// site is a live page without its story.
type site struct {
	t    *testing.T
	page *page
}

func newSite(t *testing.T) site { return newSiteWith(t, quick) }

func newSiteWith(t *testing.T, all times) site {
	t.Helper()
	ctx, fail := context.WithCancelCause(context.Background())
	t.Cleanup(func() { fail(nil) })
	s, err := newStage(all, io.Discard, fail)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	p, err := startPage(ctx, s, anyPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return site{t, p}
}

// asks sends one request to the page; change may alter it.
func (s site) asks(method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Host = s.page.listener.Addr().String()
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.page.handler().ServeHTTP(w, r)
	return w
}

func (s site) wants(method, path string, change func(*http.Request), status int) {
	s.t.Helper()
	if w := s.asks(method, path, change); w.Code != status {
		s.t.Errorf("%s %s: status %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
}

func (s site) state() (st state) {
	s.t.Helper()
	w := s.asks("GET", "/state?after=0", nil)
	if err := json.Unmarshal(w.Body.Bytes(), &st); err != nil {
		s.t.Fatalf("%v: %s", err, w.Body)
	}
	return st
}

// plays presses a button and waits for an event about the client that it starts.
func (s site) plays(path, name string, k kind) event {
	s.t.Helper()
	s.wants("POST", path, nil, http.StatusAccepted)
	e, err := s.page.stage.journal.await(patient(s.t), k, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func TestPageIsServedWhole(t *testing.T) {
	s := newSite(t)
	for path, contentType := range map[string]string{
		"/":         "text/html; charset=utf-8",
		"/page.css": "text/css; charset=utf-8",
		"/page.js":  "text/javascript; charset=utf-8",
	} {
		w := s.asks("GET", path, nil)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType {
			t.Errorf("%s: status %d, %s, want 200, %s", path, w.Code, w.Header().Get("Content-Type"), contentType)
		}
		if strings.Contains(w.Body.String(), "://") {
			t.Errorf("%s names a resource elsewhere", path)
		}
	}
	s.wants("GET", "/nothing", nil, http.StatusNotFound)
}

func TestPageIsForThisMachine(t *testing.T) {
	s := newSite(t)
	s.page.open(true)
	for _, host := range []string{"localhost:8080", "localhost", "127.0.0.1", "[::1]", "[::1]:8080"} {
		s.wants("GET", "/", func(r *http.Request) { r.Host = host }, http.StatusOK)
	}
	for _, host := range []string{"", "[localhost]", "192.0.2.1:8080", "127.0.0.1:8080:rebound.example"} {
		s.wants("GET", "/", func(r *http.Request) { r.Host = host }, http.StatusMisdirectedRequest)
	}
	s.wants("GET", "/", func(r *http.Request) { r.Host = "rebound.example:8080" }, http.StatusMisdirectedRequest)
	s.wants("POST", "/freeze", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden)
}

func TestPageWaitsForTheStory(t *testing.T) {
	s := newSite(t)
	s.wants("POST", "/freeze", nil, http.StatusConflict)
	s.wants("POST", "/idle", nil, http.StatusConflict)
	s.wants("GET", "/state?after=x", nil, http.StatusBadRequest)
	if s.state().Open {
		t.Error("open before the story is told")
	}
	s.page.open(true)
	if !s.state().Open {
		t.Error("not open afterwards")
	}
}

// A page that is open when the demo is started again on the same port can tell, and loads
// itself anew: the numbers of the new demo's events begin anew.
func TestPageTellsOneRunFromTheNext(t *testing.T) {
	first, second := newSite(t), newSite(t)
	if a, b := first.state().Run, second.state().Run; a == b || a != first.state().Run {
		t.Errorf("the runs are %q and %q, want two that stay as they are", a, b)
	}
	script := first.asks("GET", "/page.js", nil).Body.String()
	if !strings.Contains(script, "state.run") {
		t.Error("the page does not look at it")
	}
}

func TestColumnsHaveNames(t *testing.T) {
	s := newSite(t)
	if page := s.asks("GET", "/", nil).Body.String(); strings.Contains(page, "<th></th>") {
		t.Error("a column has no name")
	}
}

func TestPageFreezesAClient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.page.open(true)
	e := s.plays("/freeze", "frozen-1", ended)
	if e.code != 1001 || e.reason != "client keepalive ping timeout" {
		t.Errorf("the service was told %d %q", e.code, e.reason)
	}
	if e, err := s.page.stage.journal.await(patient(t), settled, "frozen-1"); err != nil || e.reason != "ping_timeout" {
		t.Errorf("settled for %q, error %v, want ping_timeout", e.reason, err)
	}
	if n := s.state().Counters.PingTimeouts; n != 1 {
		t.Errorf("%v clients missed their pong, want 1", n)
	}
}

func TestPageShowsGhosts(t *testing.T) {
	t.Parallel()
	forgetful := quick
	forgetful.limit = 500 * time.Millisecond // no pings have to keep a connection
	s := newSiteWith(t, forgetful)
	s.page.open(true)
	s.plays("/idle", "idle-1", cut)
	st := s.state()
	if len(st.Visits) != 1 || !st.Visits[0].Ghost || st.Visits[0].Name != "idle-1" || st.Visits[0].Through {
		t.Errorf("visits are %+v, want the ghost of idle-1", st.Visits)
	}
}

func TestPageCutsAVisitorsPath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.wants("POST", "/cut?visitor=you-1", nil, http.StatusNotFound)
	visitor, err := s.page.stage.enter(patient(t), "you-1", s.page.stage.through, "connected through Holdfast")
	if err != nil {
		t.Fatal(err)
	}
	defer s.page.stage.hangUp(visitor)
	select {
	case <-visitor.beats:
	case <-patient(t).Done():
		t.Fatal("the visitor gets no heartbeat")
	}
	if st := s.state(); st.Beat != beatText || st.Bound != quick.bound.Seconds() {
		t.Errorf("the page is told to wait for %q within %v s", st.Beat, st.Bound)
	}
	s.wants("POST", "/cut?visitor=you-2", nil, http.StatusNotFound)
	s.plays("/cut?visitor=you-1", "you-1", cut)
	if e, err := s.page.stage.journal.await(patient(t), settled, "you-1"); err != nil || e.reason != "ping_timeout" {
		t.Errorf("settled for %q, error %v, want ping_timeout", e.reason, err)
	}
}

func TestStageIsLimited(t *testing.T) {
	s := newSite(t)
	s.page.open(true)
	for i := range maxActors {
		c, err := s.page.stage.dial(patient(t), fmt.Sprintf("crowd-%d", i), s.page.stage.straight)
		if err != nil {
			t.Fatal(err)
		}
		defer s.page.stage.hangUp(c)
	}
	s.wants("POST", "/idle", nil, http.StatusTooManyRequests)
}

// Whether promises are kept is another test's: the live demo goes on all the same.
func TestLiveDemoEndsCleanly(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(patient(t))
	out := &interruptAfter{text: "now it is your turn", then: interrupt}
	brief := talkative()
	brief.silence = quick.interval
	ok, err := playLive(ctx, brief, out)
	if !ok || err != nil {
		t.Errorf("ended well: %v, error %v, want true and none:\n%s", ok, err, &out.all)
	}
	if !strings.Contains(strings.ToLower(out.all.String()), out.text) {
		t.Errorf("interrupted before its turn came:\n%s", &out.all)
	}
}

// interruptAfter is a terminal whose reader interrupts once it has read a text.
// Only the journal's goroutine writes to it, and that ends before it is read.
type interruptAfter struct {
	all  bytes.Buffer
	text string
	then func()
}

func (w *interruptAfter) Write(p []byte) (int, error) {
	n, err := w.all.Write(p)
	if strings.Contains(strings.ToLower(w.all.String()), w.text) {
		w.then()
	}
	return n, err
}
