//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/blackbox"
)

// Clients get a session with a service whose 101 breaks rules that protect nobody. The
// service is Python's http.server, which answers in HTTP/1.0 by default.
func TestOldService(t *testing.T) {
	needsProxy(t) // from the service itself Python's client takes no HTTP/1.0
	for name, c := range map[string]struct {
		version string
		fields  map[string]string // of the 101
	}{
		"HTTP/1.0":      {"HTTP/1.0", nil},
		"chunked":       {"HTTP/1.1", map[string]string{"Transfer-Encoding": "chunked"}},
		"a length":      {"HTTP/1.1", map[string]string{"Content-Length": "5"}},
		"a length of 0": {"HTTP/1.0", map[string]string{"Content-Length": "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := startHoldfast(t, startOldServer(t, c.version, c.fields))
			for _, clients := range []runtime{python, node} {
				client := startClient(t, clients)
				client.connects(proxy.url, command{ID: "a"})
				client.echoes("a", hello)
				client.closes("a", 1000, "done")
				client.wantsClosed("a", 1000, "done")
			}
			proxy.wantsMetric(blackbox.Closed("client"), 2)
		})
	}
}

func startOldServer(t *testing.T, version string, fields map[string]string) (url string) {
	t.Helper()
	options, err := json.Marshal(map[string]any{"version": version, "fields": fields})
	if err != nil {
		t.Fatal(err)
	}
	p := startPeer(t, "old server", python.command(t, "old_server", string(options)))
	return fmt.Sprintf("ws://127.0.0.1:%d", p.wants("listening", "").Port)
}

// A client that speaks TLS to a port without is told so at once.
func TestTLSToThePlainPort(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	proxy := startHoldfast(t, upstreamAbsent(t), "HOLDFAST_HANDSHAKE_TIMEOUT=1h")
	curl(t, "https://"+proxy.address()+"/").wantsFailure("wrong version number")
	proxy.wantsMetric(blackbox.Handshakes("bad_request"), 1)
}

// A target in UTF-8 reaches a service that takes it, byte for byte.
func TestTargetInUTF8(t *testing.T) {
	t.Parallel()
	server := startOldServer(t, "HTTP/1.0", nil)
	proxy := startHoldfast(t, server)
	for _, target := range []string{"/caf\u00e9?\u00e9", "//caf\u00e9", "/?\xff"} {
		// http.server itself may leave out the first of two slashes.
		page := curl(t, "--request-target", target, proxy.web())
		if page.wants(200); page.body != target && page.body != strings.TrimPrefix(target, "/") {
			t.Errorf("the service was asked for %q, want %q", page.body, target)
		}
	}
}
