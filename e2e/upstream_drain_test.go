//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// An operator takes one of several upstreams out of use, and brings it back.
func TestUpstreamIsDrained(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const each, spread = 20, 2 * time.Second
	services, ledger := startServices(t, 3)
	proxy := startBalanced(t, services, "HOLDFAST_BALANCE=round_robin", "HOLDFAST_SLOW_START=0s")
	visitors := &visitors{t: t, proxy: proxy}
	visitors.come(3*each, 1)
	ledger.isWhole()
	leaves := services[1]
	sessions := visitors.at(leaves, ledger, staying)
	others := slices.Concat(visitors.at(services[0], ledger, staying), visitors.at(services[2], ledger, staying))
	proxy.wantsUpstream(leaves, "up", each)

	proxy.tells(leaves, "drain?spread="+spread.String())
	if state := proxy.upstream(leaves).State; state != "draining" {
		t.Errorf("the upstream that is drained is %q", state)
	}
	proxy.wantsMetric(ofAddress("holdfast_upstream_draining", leaves.url), 1)
	proxy.Until("all its sessions are open elsewhere", func() bool {
		return len(visitors.at(leaves, ledger, staying)) == 0 && visitors.are(3*each, staying)
	})
	visitors.come(each, 1)
	ledger.isWhole()
	if read := ledger.requests(leaves); read != each {
		t.Errorf("the upstream that is drained was sent %d requests, want the %d before it", read, each)
	}
	var told []time.Time
	for _, v := range sessions {
		if v.code != 1012 {
			t.Errorf("session %s was ended with %d %q, want 1012", v.id, v.code, v.reason)
		}
		told = append(told, v.over)
	}
	if took := slices.MaxFunc(told, time.Time.Compare).Sub(slices.MinFunc(told, time.Time.Compare)); took < spread/2 {
		t.Errorf("all sessions were told within %v, want them spread over %v", took, spread)
	}
	visitors.echoes("it is drained")
	for _, v := range others {
		if v.ended {
			t.Errorf("session %s of another upstream was ended with %d %q", v.id, v.code, v.reason)
		}
	}
	proxy.wantsUpstream(leaves, "draining", 0)
	proxy.wantsMetric("holdfast_sessions_dropped_total", each)
	scrape := proxy.Scrape()
	if byHand := scrape.Value(blackbox.Dropped("proxy", "admin")) + scrape.Value(blackbox.Dropped("proxy", "drain")); byHand != each {
		t.Errorf("%v sessions were dropped by hand, want %d", byHand, each)
	}
	if !proxy.IsReady() {
		t.Error("the proxy is not ready, though two upstreams are in use")
	}

	proxy.tells(leaves, "resume")
	proxy.wantsUpstream(leaves, "up", 0)
	proxy.wantsMetric(ofAddress("holdfast_upstream_draining", leaves.url), 0)
	visitors.come(3*each, 1)
	ledger.isWhole()
	if got := len(visitors.at(leaves, ledger, staying)); got != each {
		t.Errorf("the upstream that is back got %d of %d sessions, want %d", got, 3*each, each)
	}
	visitors.leave()
}

// What the admin listener is asked about an upstream that is not there changes nothing.
func TestOtherUpstreamsAreNotDrained(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	services, _ := startServices(t, 2)
	proxy := startBalanced(t, services)
	path := "/api/upstreams/" + services[0].address
	for _, c := range []struct {
		what, method, path string
		status             int
	}{
		{"another upstream", http.MethodPost, "/api/upstreams/service.example:80/drain", http.StatusNotFound},
		{"another address", http.MethodPost, path + "/drain?address=" + services[1].address, http.StatusNotFound},
		{"a spread without a unit", http.MethodPost, path + "/drain?spread=2", http.StatusBadRequest},
		{"a GET", http.MethodGet, path + "/drain", http.StatusMethodNotAllowed},
	} {
		t.Run(c.what, func(t *testing.T) { proxy.wantsStatus(c.method, c.path, c.status) })
	}
	for _, s := range services {
		proxy.wantsUpstream(s, "up", 0)
	}
}

// upstream returns what the admin listener says of the service.
func (h *holdfast) upstream(s *service) upstreamStatus {
	h.T.Helper()
	var all []upstreamStatus
	if status := h.asksAdmin(http.MethodGet, "/api/upstreams", &all); status != http.StatusOK {
		h.T.Fatalf("the list of upstreams is answered with %d", status)
	}
	i := slices.IndexFunc(all, func(u upstreamStatus) bool { return u.Address == s.address })
	if i < 0 {
		h.T.Fatalf("%s is not in the list of upstreams: %+v", s.address, all)
	}
	return all[i]
}

// wantsUpstream waits until the admin listener says this of the service.
func (h *holdfast) wantsUpstream(s *service, state string, sessions int) {
	h.T.Helper()
	want := upstreamStatus{Name: strings.TrimPrefix(s.url, "ws://"), Upstream: s.url, Address: s.address, State: state, Sessions: sessions}
	h.Until("the list of upstreams says that "+s.address+" is "+state, func() bool { return h.upstream(s) == want })
}

// tells lets an operator tell the admin listener what to do about the service.
func (h *holdfast) tells(s *service, do string) {
	h.T.Helper()
	if status := h.asksAdmin(http.MethodPost, "/api/upstreams/"+s.address+"/"+do, nil); status/100 != 2 {
		h.T.Fatalf("%s of %s is answered with %d", do, s.address, status)
	}
}

func (h *holdfast) wantsStatus(method, path string, want int) {
	h.T.Helper()
	if status := h.asksAdmin(method, path, nil); status != want {
		h.T.Errorf("%s %s is answered with %d, want %d", method, path, status, want)
	}
}
