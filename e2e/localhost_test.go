//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/fixture"
)

// The name localhost has an address of each family, and a service often listens at one of
// them. The proxy works with that address, and does not go on about the other.
func TestServiceAtOneAddressOfLocalhost(t *testing.T) {
	needsProxy(t)
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			port := "0"
			if host == "::1" {
				port = fmt.Sprint(fixture.Unused(t).Port()) // of 127.0.0.1, where nobody is to listen
			}
			services, _ := startServicesAt(t, net.JoinHostPort(host, port))
			s := services[0]
			_, port, _ = net.SplitHostPort(s.address)
			upstream := "ws://localhost:" + port
			proxy := startWithHosts(t, "127.0.0.1 localhost\n::1 localhost\n", upstream, "HOLDFAST_HEALTH_INTERVAL=100ms")

			proxy.Until("it is ready", proxy.IsReady)
			visitors := &visitors{t: t, proxy: proxy}
			for i := range 5 {
				visitors.come(5, 1)
				visitors.echoes(fmt.Sprint("round ", i))
				proxy.Until("no address is down", func() bool {
					return !strings.Contains(series(proxy.Scrape(), "holdfast_upstream_up"), "} 0\n")
				})
			}
			for family, want := range map[string]float64{"holdfast_upstream_up": 1, "holdfast_upstream_sessions_active": 25} {
				proxy.wantsMetric(fmt.Sprintf("%s{address=%q,upstream=%q}", family, s.address, upstream), want)
			}
			if !proxy.IsReady() {
				t.Error("the proxy is not ready any more")
			}
			visitors.leave()
			if refused := visitors.those(refused); len(refused) > 0 {
				t.Errorf("%d sessions were refused, the first with %d (%v)", len(refused), refused[0].status, refused[0].failed)
			}
			if end := proxy.logsEnd("/v1"); end.Upstream != upstream || end.Address != s.address {
				t.Errorf("the log says that the session was at %q, address %q; want %q, %q", end.Upstream, end.Address, upstream, s.address)
			}
		})
	}
}

// startWithHosts is startHoldfast, but the proxy finds other lines in /etc/hosts.
func startWithHosts(t *testing.T, lines, upstream string, settings ...string) *holdfast {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool(t, "unshare"), "--mount", "--map-root-user", "--",
		"/bin/sh", "-c", `mount --bind "$1" /etc/hosts && exec "$2"`, "sh", hosts, binary)
	cmd.Env = append(environment(upstream, settings...), "PATH="+os.Getenv("PATH"))
	h := launch(t, cmd)
	h.hasStarted()
	return h
}
