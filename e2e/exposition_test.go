//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"testing"

	"holdfast/internal/blackbox"
)

// Prometheus's own tool has nothing to say against what it is given to scrape.
func TestPromtool(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_PING_INTERVAL=100ms", "HOLDFAST_PING_TIMEOUT=0")
	client := startClient(t, python)
	client.connects(proxy.url, command{ID: "a"})
	client.echoes("a", hello)
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), 1)
	client.closes("a", 1000, "")
	proxy.wantsMetric(blackbox.Closed("client"), 1)

	promtool := exec.Command(tool(t, "promtool"), "check", "metrics")
	promtool.Stdin = bytes.NewReader(proxy.Scrape().Text)
	if out, err := promtool.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
