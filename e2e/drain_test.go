//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
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

// The admin listener drains as SIGTERM does, and the process lives on: clients that come
// later are told 503. A SIGTERM on the way goes on with the moments that are left.
func TestSignalAfterADrain(t *testing.T) {
	needsProxy(t)
	for _, tc := range []struct {
		name   string
		signal syscall.Signal
		all    bool // the signal comes when all sessions have ended
	}{
		{"SIGTERM behind it", syscall.SIGTERM, true},
		{"SIGTERM on the way", syscall.SIGTERM, false},
		{"SIGINT on the way", syscall.SIGINT, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const sessions, spread = 20, 4 * time.Second
			server := startServer(t, python, serverOptions{})
			proxy := startHoldfast(t, server.url, "HOLDFAST_DRAIN_DELAY=1s", "HOLDFAST_DRAIN_SPREAD="+spread.String())
			client := startClient(t, python)
			for i := range sessions {
				client.connects(proxy.url, command{ID: strconv.Itoa(i)})
			}
			for range 2 {
				answer, err := http.Post(proxy.Admin+"/api/drain", "", nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != http.StatusAccepted || !strings.HasPrefix(string(body), `{"draining":true,"sessions":20,`) {
					t.Fatalf("the drain is answered %s %s, %v", answer.Status, body, err)
				}
			}
			began := time.Now()
			proxy.wantsMetric("holdfast_draining", 1)
			proxy.Until("a client is refused", func() bool {
				answer, err := http.Get(proxy.web())
				if err != nil {
					return false
				}
				answer.Body.Close()
				return answer.StatusCode == http.StatusServiceUnavailable
			})
			if !tc.all {
				proxy.Signal(tc.signal)
			}
			for i := range sessions {
				client.wantsClosed(strconv.Itoa(i), 1012, "proxy is shutting down")
			}
			took := time.Since(began)
			if hurried := tc.signal == syscall.SIGINT; !hurried && took < spread/2 {
				t.Errorf("all sessions were told within %v, want them spread over %v", took, spread)
			}
			if tc.all {
				proxy.logs("that the drain is over", func(l logLine) bool { return strings.HasPrefix(l.Msg, "drained") })
				proxy.Signal(tc.signal)
			}
			if code := proxy.WantsEnd(); code != 0 {
				t.Errorf("holdfast ended with exit code %d", code)
			}
		})
	}
}
