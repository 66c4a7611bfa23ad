//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/blackbox"
)

// The recipes of docs/recipes.md for applications with heartbeats of their own run between the
// libraries that have these heartbeats. Only times are replaced. Each test has two sessions of the
// same client: "kept" goes through the proxy, and "bare" goes to the service itself and shows what
// happens without the recipe.

// dialect is a heartbeat of an application, and its recipe.
type dialect struct {
	heading string // of the recipe
	service func(*testing.T, habits) *server
	client  func(*testing.T) *client
	freezes bool // the service is stopped, since it cannot be told to have no heartbeats
	demands bool // the service ends sessions from which no message comes
}

// habits are those of a service.
type habits struct {
	Mute  bool `json:"mute"`  // it sends no heartbeats, and answers none
	Beat  int  `json:"beat"`  // milliseconds between its own heartbeats
	Limit int  `json:"limit"` // milliseconds without a message after which it ends a session; 0 for never
}

// Milliseconds, of peers: how often their heartbeats come, and for how long they wait for one. A
// busy machine may be late by the difference.
const (
	peersBeat  = 500
	peersLimit = 2200
)

var dialects = []dialect{
	{heading: "Heartbeats in plain text", service: heartbeatServer(python, ""), client: heartbeatClient(python, ""), demands: true},
	{heading: "GraphQL over graphql-transport-ws", service: heartbeatServer(node, "graphql"), client: heartbeatClient(node, "graphql")},
	{heading: "Engine.IO and socket.io", service: heartbeatServer(node, "socketio"), client: heartbeatClient(node, "socketio"), freezes: true},
	{heading: "SignalR", service: heartbeatServer(node, "signalr"), client: heartbeatClient(node, "signalr"), demands: true},
	{heading: "Phoenix channels", service: heartbeatServer(node, "phoenix"), client: heartbeatClient(node, "phoenix"), demands: true},
	{heading: "Action Cable", service: cableServer, client: heartbeatClient(node, "actioncable"), freezes: true},
	{heading: "Pusher", service: heartbeatServer(node, "pusher"), client: heartbeatClient(node, "pusher"), demands: true},
	{heading: "STOMP", service: heartbeatServer(node, "stomp"), client: heartbeatClient(node, "stomp"), demands: true},
}

func heartbeatServer(r runtime, protocol string) func(*testing.T, habits) *server {
	return func(t *testing.T, h habits) *server {
		t.Helper()
		h.Beat = peersBeat
		options, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{string(options)}
		if protocol != "" {
			args = slices.Insert(args, 0, protocol)
		}
		return listening(t, startPeer(t, "service", r.command(t, "heartbeat_server", args...)))
	}
}

func cableServer(t *testing.T, _ habits) *server {
	t.Helper()
	return listening(t, startPeer(t, "service", exec.Command(tool(t, "ruby"), "ruby/cable.rb")))
}

func listening(t *testing.T, p *peer) *server {
	t.Helper()
	return &server{peer: p, url: fmt.Sprintf("ws://127.0.0.1:%d", p.wants("listening", "").Port)}
}

func heartbeatClient(r runtime, library string) func(*testing.T) *client {
	return func(t *testing.T) *client {
		t.Helper()
		args := []string{fmt.Sprint(peersBeat), fmt.Sprint(peersLimit)}
		if library != "" {
			args = slices.Insert(args, 0, library)
		}
		return &client{startPeer(t, "client", r.command(t, "heartbeat_client", args...))}
	}
}

// settings are those of the recipe, with the times of these tests. The library's own handshake must
// be over when the first message of the proxy's own comes, on a busy machine too.
func (d dialect) settings(t *testing.T) (settings []string) {
	t.Helper()
	settings = append(settingsOf(t, d.heading), "HOLDFAST_PING_TIMEOUT=2s", "HOLDFAST_PING_JITTER=0")
	for _, leg := range []string{"CLIENT", "UPSTREAM"} {
		if d.has(t, leg+"_APP_PING") {
			settings = append(settings, "HOLDFAST_"+leg+"_APP_PING_INTERVAL=700ms")
		}
	}
	return settings
}

// has reports whether the recipe sets a variable.
func (d dialect) has(t *testing.T, name string) bool {
	t.Helper()
	return slices.ContainsFunc(settingsOf(t, d.heading), func(setting string) bool {
		return strings.HasPrefix(setting, "HOLDFAST_"+name+"=")
	})
}

// isRead reports whether the proxy must read messages, so that they cannot be compressed.
func (d dialect) isRead(t *testing.T) bool {
	t.Helper()
	return slices.ContainsFunc([]string{"CLIENT_APP_PONG", "UPSTREAM_APP_PONG", "CLIENT_APP_ANSWER", "UPSTREAM_APP_ANSWER"},
		func(name string) bool { return d.has(t, name) })
}

func (c *client) begins(id, url string) {
	c.T.Helper()
	c.does(command{Do: "connect", ID: id, URL: url})
	c.wants("connected", id)
}

// says wants the service to say back what the client says.
func (c *client) says(id string, texts ...string) {
	c.T.Helper()
	for _, text := range texts {
		c.does(command{Do: "say", ID: id, Payload: text})
		if e := c.wants("said", id); e.Payload != text {
			c.T.Errorf("%s: the service says %.50q, want %.50q", id, e.Payload, text)
		}
	}
}

// hasKept wants nothing to have happened to the session, as far as has been told.
func (p *peer) hasKept(id string) {
	p.T.Helper()
	for _, e := range p.untaken {
		if e.ID == id && e.Event != "open" {
			p.T.Errorf("%s told %+v", p.Name, e)
		}
	}
}

// ordinary are messages that no recipe may touch: one that resembles heartbeats, and a long one.
var ordinary = []string{`ping {"type":"ping"} 2`, strings.Repeat("pong ", 8<<10)}

// A service that sends no heartbeats and answers none loses its clients, and keeps those that come
// by the proxy. A client that hangs is found, if the recipe asks it for answers.
func TestHeartbeatsForClients(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	for _, d := range dialects {
		t.Run(d.heading, func(t *testing.T) {
			t.Parallel()
			service := d.service(t, habits{Mute: true, Limit: d.pingTimeout()})
			proxy := startHoldfast(t, service.url, d.settings(t)...)
			client := d.client(t)
			client.begins("kept", proxy.url)
			client.begins("bare", service.url)
			kept, bare := service.wants("open", "kept"), service.wants("open", "bare")
			if d.isRead(t) {
				bare.Extensions = ""
			}
			if kept.Extensions != bare.Extensions {
				t.Errorf("the service agrees on %q with the proxy, want %q", kept.Extensions, bare.Extensions)
			}
			client.says("kept", ordinary...)

			if d.freezes {
				service.Freezes()
				client.wants("gaveUp", "bare")
				service.Thaws()
			} else {
				client.wants("gaveUp", "bare")
				client.wants("gaveUp", "bare")
			}
			client.says("kept", ordinary...)
			client.hasKept("kept")
			proxy.wantsMetric("holdfast_sessions_dropped_total", 0)

			if !d.has(t, "CLIENT_APP_PONG") {
				return
			}
			proxy.WantsAtLeast(blackbox.OfSide("holdfast_app_pongs_received_total", "client"), 1)
			client.does(command{Do: "hang", ID: "kept"})
			service.wantsClosed("kept", 1001, "client application heartbeat timeout")
			proxy.wantsMetric(blackbox.Dropped("client", "ping_timeout"), 1)
			client.wants("connected", "kept")
			client.says("kept", ordinary...)
		})
	}
}

// pingTimeout is for a service that always wants heartbeats of its clients: socket.io.
func (d dialect) pingTimeout() int {
	if d.freezes {
		return peersLimit
	}
	return 0
}

// A service that wants messages of its clients ends the sessions of those whose timers sleep, and
// keeps those that come by the proxy.
func TestHeartbeatsForServices(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	for _, d := range dialects {
		if !d.demands {
			continue
		}
		t.Run(d.heading, func(t *testing.T) {
			t.Parallel()
			service := d.service(t, habits{Mute: true, Limit: peersLimit})
			proxy := startHoldfast(t, service.url, d.settings(t)...)
			client := d.client(t)
			client.begins("kept", proxy.url)
			client.begins("bare", service.url)
			client.says("kept", ordinary...)
			client.does(command{Do: "sleep"})
			client.wants("asleep", "")
			service.wants("starved", "bare")
			service.hasKept("kept")
			proxy.wantsMetric("holdfast_sessions_dropped_total", 0)
		})
	}
}

// A service whose program hangs while its library answers pings is found, if the recipe asks it for
// answers. Its clients connect again.
func TestServiceThatHangsIsFound(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	for _, d := range dialects {
		if !d.has(t, "UPSTREAM_APP_PONG") {
			continue
		}
		t.Run(d.heading, func(t *testing.T) {
			t.Parallel()
			service := d.service(t, habits{})
			proxy := startHoldfast(t, service.url, append(d.settings(t), "HOLDFAST_UPSTREAM_PING_INTERVAL=300ms")...)
			client := d.client(t)
			client.begins("kept", proxy.url)
			client.says("kept", ordinary...)
			proxy.WantsAtLeast(blackbox.OfSide("holdfast_app_pongs_received_total", "upstream"), 1)
			proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "upstream"), 1)

			service.does(command{Do: "hang", ID: "kept"})
			client.wantsClosed("kept", 1012, "upstream application heartbeat timeout")
			service.wantsClosed("kept", 1011, "application heartbeat timeout")
			proxy.wantsMetric(blackbox.Dropped("upstream", "ping_timeout"), 1)
			client.wants("connected", "kept")
			client.says("kept", ordinary...)
		})
	}
}
