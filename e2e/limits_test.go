//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"holdfast/internal/blackbox"
)

// answersAll is a service that opens a session for each handshake, and has a page for each
// other request.
func answersAll(t *testing.T) (url string) {
	t.Helper()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, "page")
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		_, _, _ = conn.Read(context.Background()) // it returns when the session has ended
	}))
	t.Cleanup(service.Close)
	return "ws" + strings.TrimPrefix(service.URL, "http")
}

// asks dials the proxy and returns the session, or the status in its place.
func (h *holdfast) asks() (session *websocket.Conn, status int) {
	h.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	session, resp, err := websocket.Dial(ctx, h.url, nil)
	if resp == nil {
		h.T.Fatal(err)
	}
	return session, resp.StatusCode
}

// page asks for a page, on a connection of its own, and returns the status.
func (h *holdfast) page() int {
	h.T.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(h.web())
	if err != nil {
		h.T.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// As many sessions open as the proxy says, however few descriptors it has. Then clients are
// refused, the admin listener answers, and the next session and a page have room again when
// sessions have ended.
func TestFewDescriptors(t *testing.T) {
	needsProxy(t)
	for _, limit := range []int{64, 128, 256, 1024} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0"`, limit), binary)
			cmd.Env = environment(answersAll(t), "HOLDFAST_LOG_LEVEL=info")
			proxy := launch(t, cmd)
			proxy.hasStarted()
			if status := proxy.page(); status != http.StatusOK {
				t.Errorf("the first page has status %d", status)
			}
			says := int(proxy.Metric("holdfast_sessions_limit"))
			var open []*websocket.Conn
			opens := func(why string) {
				t.Helper()
				session, status := proxy.asks()
				if session == nil {
					t.Fatalf("%s: the handshake has status %d, and %d of %d sessions are open", why, status, len(open), says)
				}
				open = append(open, session)
				t.Cleanup(func() { _ = session.CloseNow() })
			}
			for range says {
				opens("there is room")
			}
			for range 70 {
				if _, status := proxy.asks(); status != http.StatusServiceUnavailable {
					t.Fatalf("one more than %d sessions has status %d, want 503", says, status)
				}
			}
			proxy.WantsMetric("holdfast_sessions_active", float64(says))
			proxy.WantsMetric(blackbox.Handshakes("limit"), 70)
			t.Logf("%d descriptors: %d sessions are open, and %d descriptors", limit, says, len(proxy.Descriptors()))

			_ = open[0].Close(websocket.StatusNormalClosure, "")
			_ = open[1].Close(websocket.StatusNormalClosure, "")
			proxy.WantsMetric("holdfast_sessions_active", float64(says-2))
			opens("one has ended")
			if status := proxy.page(); status != http.StatusOK {
				t.Errorf("a page has status %d when sessions have ended", status)
			}
		})
	}
}
