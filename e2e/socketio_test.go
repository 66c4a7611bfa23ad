//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
)

// socket.io polls over plain requests first, and upgrades while it is in use.
func TestSocketIO(t *testing.T) {
	cases := []struct {
		name       string
		transports []string
		tls        bool
	}{
		{"polling, then WebSocket", []string{"polling", "websocket"}, false},
		{"polling, then WebSocket over TLS", []string{"polling", "websocket"}, true},
		{"polling only", []string{"polling"}, false},
		{"WebSocket only", []string{"websocket"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			settings, tls := frequentPings, (*peerTLS)(nil)
			if c.tls {
				needsProxy(t)
				ca := newAuthority(t)
				settings, tls = append(ca.issues("127.0.0.1").served(), settings...), &peerTLS{CA: ca.file}
			}
			server, client := startSocketIO(t)
			proxy := startHoldfast(t, server.url, settings...)
			client.asks(proxy.url, command{ID: "a", Transports: c.transports, TLS: tls})
			testSocketIO(t, proxy, server, client, c.transports)
		})
	}
}

func startSocketIO(t *testing.T) (*server, *client) {
	t.Helper()
	return startSocketIOServer(t), &client{startPeer(t, "socket.io client", node.command(t, "socketio_client"))}
}

func startSocketIOServer(t *testing.T) *server {
	t.Helper()
	p := startPeer(t, "socket.io server", node.command(t, "socketio_server"))
	return &server{peer: p, url: fmt.Sprintf("ws://127.0.0.1:%d", p.wants("listening", "").Port)}
}

func testSocketIO(t *testing.T, proxy *holdfast, server *server, client *client, transports []string) {
	for _, p := range []*peer{server.peer, client.peer} {
		if e := p.wants("open", "a"); e.Transport != transports[0] {
			t.Errorf("%s begins with %s, want %s", p.Name, e.Transport, transports[0])
		}
		p.wants("connected", "a")
		if len(transports) == 2 {
			p.wants("upgraded", "a")
		}
	}
	for _, m := range []message{hello, {kind: "text", size: 2 << 20}, {kind: "binary", size: 2 << 20}} {
		client.echoes("a", m)
	}
	sessions := 0.0
	if slices.Contains(transports, "websocket") {
		sessions = 1
	}
	proxy.wantsMetric("holdfast_sessions_opened_total", sessions)
	client.does(command{Do: "close", ID: "a"})
	client.wants("closed", "a")
	if e := server.wants("closed", "a"); e.Reason != "client namespace disconnect" {
		t.Errorf("for the server the session ended since %s", e.Reason)
	}
	proxy.wantsMetric("holdfast_sessions_active", 0)
	proxy.wantsMetric("holdfast_sessions_dropped_total", 0)
}

// Who refuses plain requests has no use for a client that begins with them.
func TestSocketIOWithoutPlainRequests(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server, client := startSocketIO(t)
	proxy := startHoldfast(t, server.url, "HOLDFAST_HTTP=refuse")
	client.asks(proxy.url, command{ID: "a", Transports: []string{"polling", "websocket"}})
	if e := client.wants("refused", "a"); e.Status != 426 {
		t.Errorf("polling is refused with %d, want 426", e.Status)
	}
	client.asks(proxy.url, command{ID: "b", Transports: []string{"websocket"}})
	client.wants("connected", "b")
	client.echoes("b", hello)
}
