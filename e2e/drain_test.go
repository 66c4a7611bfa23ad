//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// SIGTERM under sessions: for a while only /readyz shows it, and new clients are served.
// Then the listener is closed, and each session gets its Close at a moment of its own.
func TestDrainIsSpread(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const sessions, delay, spread = 60, 2 * time.Second, 6 * time.Second
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_DRAIN_DELAY="+delay.String(), "HOLDFAST_DRAIN_SPREAD="+spread.String())
	client := startClient(t, python)
	for i := range sessions {
		client.connects(proxy.url, command{ID: strconv.Itoa(i)})
	}
	proxy.Signal(syscall.SIGTERM)
	proxy.Until("it is not ready", func() bool {
		answer, err := http.Get(proxy.Admin + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusServiceUnavailable
	})
	client.connects(proxy.url, command{ID: "late"})
	client.echoes("late", hello)
	var told []time.Time
	for i := range sessions {
		client.wantsClosed(strconv.Itoa(i), 1012, "proxy is shutting down")
		told = append(told, time.Now())
	}
	client.wantsClosed("late", 1012, "proxy is shutting down")
	if took := slices.MaxFunc(told, time.Time.Compare).Sub(slices.MinFunc(told, time.Time.Compare)); took < spread/2 {
		t.Errorf("all sessions were told within %v, want them spread over %v", took, spread)
	}
	if code := proxy.WantsEnd(); code != 0 {
		t.Errorf("holdfast ended with exit code %d", code)
	}
}
