//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Idle sessions, opened one after another, before three services.
func TestIdleSessionsAreBalanced(t *testing.T) {
	needsProxy(t)
	const sessions, mean = 300, 100
	for _, c := range []struct {
		balance     string
		least, most float64
	}{
		{"least_sessions", 0, 1.5 * mean},
		{"round_robin", mean, mean},
	} {
		t.Run(c.balance, func(t *testing.T) {
			t.Parallel()
			services, ledger := startServices(t, 3)
			proxy := startBalanced(t, services, "HOLDFAST_BALANCE="+c.balance)
			visitors := &visitors{t: t, proxy: proxy}
			visitors.come(sessions, 1)
			ledger.isWhole()
			for _, s := range services {
				open := len(visitors.at(s, ledger, staying))
				if float64(open) < c.least || float64(open) > c.most {
					t.Errorf("%s has %d of %d sessions, want %v to %v", s.Name, open, sessions, c.least, c.most)
				}
				proxy.wantsMetric(sessionsAt(s.url), float64(open))
				if told := s.counts(); told != open {
					t.Errorf("%s has %d sessions open, want %d", s.Name, told, open)
				}
			}
			visitors.leave()
			ledger.wantsOnce(t)
		})
	}
}

// startBalanced starts a proxy and waits until all the services are known to work. A
// service that has never worked does not begin slowly.
func startBalanced(t *testing.T, services []*service, settings ...string) *holdfast {
	t.Helper()
	proxy := startHoldfast(t, upstreams(services), settings...)
	for _, s := range services {
		proxy.wantsMetric(isUp(s.url), 1)
	}
	return proxy
}

// Requests that are not upgrades go by the same rule as sessions, and from a service that
// cannot be connected to they go on to the next.
func TestPlainRequestsAreBalanced(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const each = 10
	services, ledger := startServices(t, 3)
	proxy := startBalanced(t, services, "HOLDFAST_BALANCE=round_robin", "HOLDFAST_HEALTH_INTERVAL=0")
	asked := 0
	asks := func(method, body string) {
		t.Helper()
		asked++
		request, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("%s/r%d", proxy.web(), asked), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if response, got := answer(t, request); response.StatusCode != http.StatusOK || got != fmt.Sprint(len(body)) {
			t.Errorf("%s %s is answered with %d %q", method, request.URL, response.StatusCode, got)
		}
	}
	for range 3 * each {
		asks(http.MethodGet, "")
	}
	ledger.isWhole()
	for _, s := range services {
		if read := ledger.requests(s); read != each {
			t.Errorf("%s has read %d requests, want %d", s.Name, read, each)
		}
	}

	services[0].dies()
	for range 3 * each {
		asks(http.MethodGet, "")
		asks(http.MethodPost, strings.Repeat("body", 64<<10))
	}
	ledger.isWhole()
	if read := ledger.requests(services[0]); read != each {
		t.Errorf("the service that was killed has read %d requests, want %d", read, each)
	}
	ledger.wantsOnce(t)
	if all := ledger.requests(services...); all != asked {
		t.Errorf("%d requests were read, want %d", all, asked)
	}
	proxy.wantsMetric(answered("2xx"), float64(asked))
	proxy.wantsMetric(answered("5xx"), 0)
}

// What is hashed leads the page and the session of a client to the same service.
func TestHashedRequestsStayTogether(t *testing.T) {
	needsProxy(t)
	const clients = 30
	for _, c := range []struct {
		balance string
		marks   func(r *http.Request, value string)
	}{
		{"hash:header:X-Room", func(r *http.Request, value string) { r.Header.Set("X-Room", value) }},
		{"hash:cookie:room", func(r *http.Request, value string) {
			r.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})
			r.AddCookie(&http.Cookie{Name: "room", Value: value})
		}},
	} {
		t.Run(c.balance, func(t *testing.T) {
			t.Parallel()
			services, ledger := startServices(t, 3)
			proxy := startBalanced(t, services, "HOLDFAST_BALANCE="+c.balance)
			for i := range clients {
				page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/page%d", proxy.web(), i), nil)
				if err != nil {
					t.Fatal(err)
				}
				session := upgradeRequest(t, proxy)
				session.URL.Path = fmt.Sprintf("/session%d", i)
				for request, want := range map[*http.Request]int{page: http.StatusOK, session: http.StatusSwitchingProtocols} {
					c.marks(request, fmt.Sprintf("room%d", i))
					if response, body := answer(t, request); response.StatusCode != want {
						t.Fatalf("%s is answered with %d: %s", request.URL, response.StatusCode, body)
					}
				}
			}
			ledger.isWhole()
			used := map[*service]bool{}
			for i := range clients {
				page, session := ledger.reader(fmt.Sprintf("page%d", i)), ledger.reader(fmt.Sprintf("session%d", i))
				if page != session {
					t.Errorf("the page of client %d comes from %s, its session from %s", i, page.Name, session.Name)
				}
				used[page] = true
			}
			if len(used) < 2 {
				t.Errorf("all of %d clients are at one service", clients)
			}
		})
	}
}

// A service reads a request and ends the connection. The proxy cannot know what the service
// has done about the request, so it asks no other service.
func TestRequestIsNotRepeated(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	services, ledger := startServices(t, 3)
	proxy := startBalanced(t, services)
	for i, c := range []struct {
		kind string
		make func(url string) (*http.Request, error)
	}{
		{"a POST with a body", func(url string) (*http.Request, error) {
			return http.NewRequest(http.MethodPost, url, strings.NewReader(strings.Repeat("body", 64<<10)))
		}},
		{"a POST without a body", func(url string) (*http.Request, error) { return http.NewRequest(http.MethodPost, url, nil) }},
		{"a GET", func(url string) (*http.Request, error) { return http.NewRequest(http.MethodGet, url, nil) }},
		{"a handshake", func(url string) (*http.Request, error) {
			r := upgradeRequest(t, proxy)
			at, err := r.URL.Parse(url)
			r.URL = at
			return r, err
		}},
	} {
		id := fmt.Sprintf("r%d", i)
		request, err := c.make(proxy.web() + lostPath + id)
		if err != nil {
			t.Fatal(err)
		}
		if response, body := answer(t, request); response.StatusCode != http.StatusBadGateway {
			t.Errorf("%s is answered with %d %q, want 502", c.kind, response.StatusCode, body)
		}
		ledger.isWhole()
		if read := len(ledger.of(id)); read != 1 {
			t.Errorf("%s was read %d times, want once", c.kind, read)
		}
	}
}
