//go:build e2e

package e2e

import (
	"strings"
	"testing"
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
