//go:build e2e

package e2e

import (
	"net/http"
	"os/exec"
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

// An upstream whose name is not found is shown, with the reason, and can be drained.
func TestUpstreamThatIsNotFound(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const name, reason = "nosuch.invalid:24003", "lookup nosuch.invalid"
	proxy := startHoldfast(t, "ws://"+name, "HOLDFAST_DIAL_TIMEOUT=2s")
	wants := func(path, state string) {
		t.Helper()
		proxy.Until(path+" says that it is "+state+", and why", func() bool {
			var said struct{ Upstreams []upstreamStatus }
			into := any(&said)
			if path == "/api/upstreams" {
				into = &said.Upstreams
			}
			proxy.asksAdmin(http.MethodGet, path, into)
			all := said.Upstreams
			return len(all) == 1 && all[0].Name == name && all[0].Upstream == "ws://"+name && all[0].Address == "" &&
				all[0].State == state && all[0].Sessions == 0 && strings.Contains(all[0].Reason, reason)
		})
	}
	paths := []string{"/readyz", "/api/upstreams", "/api/status"}
	for _, path := range paths {
		wants(path, "down")
	}
	proxy.wantsStatus(http.MethodGet, "/readyz", http.StatusServiceUnavailable)

	check := exec.CommandContext(t.Context(), binary, "healthcheck")
	check.Env = []string{"HOLDFAST_ADMIN_LISTEN=" + strings.TrimPrefix(proxy.Admin, "http://")}
	said, err := check.CombinedOutput()
	if want := "no upstream can get sessions: ws://" + name + " is down (" + reason; err == nil || !strings.Contains(string(said), want) {
		t.Errorf("healthcheck ends with %v and says %q, want %q", err, said, want)
	}

	var drained []upstreamStatus
	status := proxy.asksAdmin(http.MethodPost, "/api/upstreams/"+name+"/drain", &drained)
	if status != http.StatusAccepted || len(drained) != 1 || drained[0].State != "draining" {
		t.Errorf("the drain is answered with %d %+v", status, drained)
	}
	for _, path := range paths {
		wants(path, "draining")
	}
	response, body := answer(t, upgradeRequest(t, proxy))
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("a handshake is answered with %d, Retry-After %q: %s", response.StatusCode, response.Header.Get("Retry-After"), body)
	}
	proxy.logs("who has taken it out of use", func(l logLine) bool {
		return l.Path == "/chat" && strings.HasSuffix(l.Error, "no upstream takes new sessions: an operator has taken them out of use")
	})
	proxy.asksAdmin(http.MethodPost, "/api/upstreams/"+name+"/resume", &drained)
	if len(drained) != 1 || drained[0].State != "down" {
		t.Errorf("the resume is answered with %+v", drained)
	}
}
