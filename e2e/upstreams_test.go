//go:build e2e

package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/fixture"
)

// The log says where each session was.
func TestSessionsUpstreamIsLogged(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	services, ledger := startServices(t, 2)
	proxy := startBalanced(t, services, "HOLDFAST_BALANCE=round_robin")
	visitors := &visitors{t: t, proxy: proxy}
	visitors.come(4, 1)
	visits := visitors.those(staying)
	ledger.isWhole()
	services[0].dies()
	proxy.Until("the sessions are at the other service", func() bool { return len(visitors.at(services[1], ledger, staying)) == 4 })
	visitors.leave()
	for _, v := range visits {
		s := ledger.reader(v.id)
		if end := proxy.logsEnd("/" + v.id); end.Upstream != s.url || end.Address != s.address {
			t.Errorf("the log says that session %s was at %q, address %q; want %q, %q", v.id, end.Upstream, end.Address, s.url, s.address)
		}
	}
}

// `holdfast check -connect` tries each upstream, and tells of each.
func TestEachUpstreamIsChecked(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	services, _ := startServices(t, 3)
	for _, c := range []struct {
		name      string
		upstreams string
		tells     []string
		succeeds  bool
	}{
		{"all work", upstreams(services), []string{services[0].url, services[1].url, services[2].url}, true},
		{"the second is absent", services[0].url + "," + upstreamAbsent(t) + "," + services[2].url,
			[]string{services[0].url, "refused", services[2].url}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := checks(t, c.upstreams, nil, c.succeeds)
			for _, part := range c.tells {
				if !strings.Contains(told, part) {
					t.Errorf("it does not tell of %s:\n%s", part, told)
				}
			}
		})
	}
}

// There are three services, and each fails in its own way.
func TestNoUpstreamIsLeft(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	absent, deaf := fixture.Unused(t).String(), fixture.Deaf(t).String()
	socket := filepath.Join(shortDir(t), "service.sock")
	proxy := startHoldfast(t, "ws://"+absent+",ws://"+deaf+",unix:"+socket,
		"HOLDFAST_DIAL_TIMEOUT=2s", "HOLDFAST_HEALTH_INTERVAL=100ms")
	response, body := answer(t, upgradeRequest(t, proxy))
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("a handshake is answered with %d, Retry-After %q: %s", response.StatusCode, response.Header.Get("Retry-After"), body)
	}
	page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy.web()+"/page", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, body = answer(t, page)
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("a page is answered with %d, Retry-After %q: %s", response.StatusCode, response.Header.Get("Retry-After"), body)
	}
	proxy.logs("what each service said to the handshake", func(l logLine) bool {
		said := true
		for _, part := range []string{absent, "connection refused", deaf, "no connection in time", socket, "no such file or directory"} {
			said = said && strings.Contains(l.Error, part)
		}
		return said && l.Path == "/chat"
	})

	for _, s := range []upstreamStatus{
		{Name: absent, Upstream: "ws://" + absent, Address: absent, Reason: "connection refused"},
		{Name: deaf, Upstream: "ws://" + deaf, Address: deaf, Reason: "no connection in time"},
		{Name: socket, Upstream: "unix:" + socket, Address: socket, Reason: "no such file or directory"},
	} {
		proxy.Until("the readiness says why "+s.Upstream+" is down", func() bool {
			var said struct {
				Ready     bool
				Upstreams []upstreamStatus
			}
			if status := proxy.asksAdmin(http.MethodGet, "/readyz", &said); status != http.StatusServiceUnavailable || said.Ready {
				t.Fatalf("/readyz is %d, ready %t", status, said.Ready)
			}
			for _, u := range said.Upstreams {
				if u.Upstream == s.Upstream {
					return u.Name == s.Name && u.Address == s.Address && u.State == "down" && u.Sessions == 0 &&
						strings.Contains(u.Reason, s.Reason)
				}
			}
			return false
		})
	}
}
