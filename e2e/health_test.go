//go:build e2e

package e2e

import (
	"path/filepath"
	"syscall"
	"testing"
)

// The proxy knows whether the service works without a client: before the service is
// there, while it is, and when it has gone.
func TestServiceIsCheckedWithoutClients(t *testing.T) {
	needsProxy(t)
	for _, c := range []struct {
		name     string
		servers  runtime
		settings []string
	}{
		{"by connections", python, nil},
		{"by a path", node, []string{"HOLDFAST_HEALTH_PATH=/page"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(shortDir(t), "service.sock")
			proxy := startHoldfast(t, "unix:"+path, append(c.settings, "HOLDFAST_HEALTH_INTERVAL=50ms")...)
			up := ofAddress("holdfast_upstream_up", "unix:"+path)
			proxy.logs("that the service is down", func(l logLine) bool { return l.Level == "WARN" && l.Error != "" })
			if proxy.IsReady() {
				t.Error("the proxy is ready though there is no service")
			}
			proxy.wantsMetric(up, 0)

			server := startServer(t, c.servers, serverOptions{Socket: path})
			proxy.Until("it is ready", proxy.IsReady)
			proxy.wantsMetric(up, 1)

			server.Signal(syscall.SIGKILL)
			proxy.Until("it is not ready", func() bool { return !proxy.IsReady() })
			proxy.wantsMetric(up, 0)
			proxy.logs("that the service is up", func(l logLine) bool { return l.Msg == "upstream is up" })
		})
	}
}
