package metrics

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast/internal/fixture"
)

func TestFreshExposition(t *testing.T) {
	m := New("1.2.3")
	fixture.Golden(t, "fresh.prom", exposition(t, m))

	m.NewLoop()
	fixture.Golden(t, "fresh.prom", exposition(t, m)) // a loop brings counts, never series
}

// TestBusyExposition counts on two loops, so that the sums show.
func TestBusyExposition(t *testing.T) {
	m := New("1.2.3")
	one, two := m.NewLoop(), m.NewLoop()
	m.SetSessionsLimit(1000)
	m.CountHandshakesActive(func() int { return 5 })
	m.SetDraining(true)
	service, other := m.Upstream("ws://one.example:9000"), m.Upstream("ws://two.example:9000")
	m.ShowAddresses(func() []Address {
		return []Address{
			{Upstream: "ws://one.example:9000", Address: "192.0.2.1:9000", Up: true, Sessions: 3},
			{Upstream: "ws://two.example:9000", Address: "192.0.2.2:9000", Draining: true},
		}
	})

	// Four handshakes, one of them refused.
	for _, l := range []*Loop{one, one, two} {
		l.HandshakeDuration(Dial, time.Millisecond)
		l.HandshakeDuration(Upgrade, 3*time.Millisecond)
		l.HandshakeDuration(Total, 4*time.Millisecond)
		l.Handshake(ResultOK)
		service.Handshake(ResultOK)
		l.Opened()
	}
	two.Handshake(ResultOriginDenied)
	other.Handshake(ResultTimeout)
	other.Handshake(ResultClientGone) // it says nothing about the upstream

	// Traffic and heartbeats; the second client becomes slow.
	one.Frames(Client, 0x1, 3)
	one.Received(Client, 300)
	one.Sent(Upstream, 300)
	two.Frames(Upstream, 0x2, 1)
	two.Received(Upstream, 1<<20)
	two.Sent(Client, 1<<10)
	two.Buffered(Client, 1<<20-1<<10)
	two.Paused(Upstream, +1)
	one.PingSent(Client)
	one.PingLag(150 * time.Microsecond)
	one.PongReceived(Client)
	one.RoundTrip(Client, 40*time.Millisecond)
	two.PingSent(Client)
	two.PingLag(-time.Microsecond)
	one.PingAnswered(Upstream)
	one.Frames(Upstream, 0x9, 1)
	one.AppPingSent(Upstream)
	two.AppPingSent(Upstream)
	two.AppPongReceived(Upstream)
	two.AppRoundTrip(Upstream, 15*time.Millisecond)
	two.AppPingsAnswered(Client, 1)

	// One session is closed, and two are dropped, each by another peer.
	one.Frames(Client, 0x8, 1)
	one.CloseReceived(Client, 1000)
	one.Frames(Upstream, 0x8, 1)
	one.CloseReceived(Upstream, -1)
	one.Closed(Client)
	one.SessionDuration(90 * time.Second)
	two.Buffered(Client, 1<<10-1<<20)
	two.Paused(Upstream, -1)
	two.Dropped(Client, PingTimeout)
	two.SessionDuration(40 * time.Second)
	one.Dropped(Upstream, Reset)
	service.Dropped(Reset)
	one.SessionDuration(40 * time.Second)

	// Beside WebSocket, and over TLS.
	m.HTTPRequest(http.StatusOK)
	m.HTTPRequest(http.StatusNotFound)
	m.SetTLSCertificateExpiry(time.Unix(1_900_000_000, 0))

	// What an operator does not see elsewhere.
	m.CountLogLinesLost(func() uint64 { return 7 })
	m.ReloadFailed()
	m.ReloadFailed()
	m.CountPanic()

	fixture.Golden(t, "busy.prom", exposition(t, m))
}

func TestLint(t *testing.T) {
	m := New("1.2.3")
	m.Upstream("ws://one.example:9000")
	m.ShowAddresses(func() []Address { return []Address{{Upstream: "ws://one.example:9000", Address: "192.0.2.1:9000"}} })
	m.SetTLSCertificateExpiry(time.Now())
	problems, err := testutil.GatherAndLint(m.Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestOpenMetrics(t *testing.T) {
	body, header := scrapeAs(t, New("1.2.3"), "application/openmetrics-text; version=1.0.0")
	if got := header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
		t.Errorf("Content-Type is %q", got)
	}
	if !strings.HasSuffix(body, "# EOF\n") {
		t.Error("the exposition does not end in # EOF")
	}
}

func TestBuildInfo(t *testing.T) {
	body, _ := scrapeAs(t, New("1.2.3"), "")
	for _, want := range []string{`version="1.2.3"`, `goversion="go`, `revision="`} {
		if !strings.Contains(body, want) {
			t.Errorf("build_info lacks %s", want)
		}
	}
	for _, want := range []string{"\ngo_goroutines ", "\nprocess_open_fds "} {
		if !strings.Contains(body, want) {
			t.Errorf("the exposition lacks %q", want)
		}
	}
}

// exposition returns what a scraper sees of ours: without what differs from
// machine to machine and from build to build.
func exposition(t *testing.T, m *Metrics) string {
	t.Helper()
	body, _ := scrapeAs(t, m, "")
	var ours strings.Builder
	for line := range strings.Lines(body) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		switch {
		case strings.HasPrefix(name, "go_"), strings.HasPrefix(name, "process_"):
		case strings.HasPrefix(line, "holdfast_build_info{"):
		default:
			ours.WriteString(line)
		}
	}
	return ours.String()
}

func scrapeAs(t *testing.T, m *Metrics, accept string) (body string, header http.Header) {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		t.Fatalf("the scrape failed with %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String(), answer.Header()
}

// TestSessionBoundsAvoidTimeouts wants no bound of session durations on a usual idle
// timeout: a session that the timeout has cut lasted a little longer.
func TestSessionBoundsAvoidTimeouts(t *testing.T) {
	timeouts := seconds(
		30*time.Second, 55*time.Second, time.Minute, 100*time.Second, 2*time.Minute, 3*time.Minute,
		4*time.Minute, 5*time.Minute, 350*time.Second,
		10*time.Minute, 30*time.Minute, time.Hour, 2*time.Hour, 12*time.Hour, 24*time.Hour,
	)
	used := map[int]float64{} // by bucket, the timeout that falls into it
	for _, timeout := range timeouts {
		bucket, on := slices.BinarySearch(sessionBounds, timeout)
		if on {
			t.Errorf("%v s is a bound", timeout)
		}
		if other, taken := used[bucket]; taken {
			t.Errorf("%v s and %v s fall into one bucket", other, timeout)
		}
		used[bucket] = timeout
	}
}
