//go:build e2e

package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// quickClientPings find a dead client soon, but not one that a busy machine
// keeps waiting, and leave the upstream its default.
var quickClientPings = []string{
	"HOLDFAST_CLIENT_PING_INTERVAL=300ms",
	"HOLDFAST_CLIENT_PING_TIMEOUT=2s",
}

// quickUpstreamPings are those for the upstream.
var quickUpstreamPings = []string{
	"HOLDFAST_UPSTREAM_PING_INTERVAL=300ms",
	"HOLDFAST_UPSTREAM_PING_TIMEOUT=2s",
}

// frequentPings are for peers that only have to be alive, however long a large
// message keeps them from answering.
var frequentPings = []string{
	"HOLDFAST_PING_INTERVAL=300ms",
	"HOLDFAST_PING_TIMEOUT=" + patience.String(),
}

func TestFrozenClientIsDropped(t *testing.T) {
	needsProxy(t)
	for _, clients := range []runtime{python, node} {
		t.Run(clients.name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, python, serverOptions{})
			proxy := startHoldfast(t, server.url, quickClientPings...)
			client := startClient(t, clients)
			client.connects(proxy.url, command{ID: "a"})
			client.echoes("a", hello)

			client.Freezes()
			server.wantsClosed("a", 1001, "client keepalive ping timeout")
			proxy.wantsMetric(blackbox.Dropped("client", "ping_timeout"), 1)
			proxy.wantsMetric("holdfast_sessions_dropped_total", 1)

			client.Thaws()
			client.wantsClosed("a", 1011, "keepalive ping timeout") // was waiting in its socket
		})
	}
}

func TestFrozenServersClientsAreTold(t *testing.T) {
	needsProxy(t)
	for _, servers := range []runtime{python, node} {
		t.Run(servers.name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, servers, serverOptions{})
			proxy := startHoldfast(t, server.url, quickUpstreamPings...)
			client := startClient(t, node)
			client.connects(proxy.url, command{ID: "a"})
			client.connects(proxy.url, command{ID: "b"})
			// What has answered a ping is known to be able to.
			proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "upstream"), 1)

			server.Freezes()
			client.wantsClosed("a", 1012, "upstream keepalive ping timeout")
			client.wantsClosed("b", 1012, "upstream keepalive ping timeout")
			proxy.wantsMetric(blackbox.Dropped("upstream", "ping_timeout"), 2)
		})
	}
}

// A service that answers no ping is pinged without a deadline.
func TestMuteServerIsNotHeldToPongs(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{Mute: true})
	proxy := startHoldfast(t, server.url, quickUpstreamPings...)
	client := startClient(t, node)
	client.connects(proxy.url, command{ID: "a"})

	// The tenth comes after an interval and a timeout.
	for range 10 {
		server.wants("ping", "a")
	}
	client.echoes("a", hello)
	proxy.wantsMetric("holdfast_sessions_active", 1)
	proxy.wantsMetric(blackbox.OfSide("holdfast_pongs_received_total", "upstream"), 0)
}

// A service that answers each ping with an empty pong, as uWSGI does, is watched like
// one that echoes.
func TestServerThatDoesNotEchoIsWatched(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{EmptyPong: true})
	proxy := startHoldfast(t, server.url, quickUpstreamPings...)
	client := startClient(t, python)
	client.connects(proxy.url, command{ID: "a"})
	for range 3 {
		payload := server.wants("ping", "a").Payload
		if len(payload) != 8 || strings.ContainsFunc(payload, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("the ping's payload is %q, want 8 printable characters of ASCII", payload)
		}
	}
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "upstream"), 2)
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_ping_rtt_seconds_count", "upstream"), 2)

	server.Freezes()
	client.wantsClosed("a", 1012, "upstream keepalive ping timeout")
	proxy.wantsMetric(blackbox.Dropped("upstream", "ping_timeout"), 1)
}

func TestClientsPingIsAnsweredByTheProxy(t *testing.T) {
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_PING_INTERVAL=0")
	client := startClient(t, node)
	client.connects(proxy.url, command{ID: "a"})

	client.does(command{Do: "ping", ID: "a", Payload: "are you there?"})
	if e := client.wants("pong", "a"); e.Payload != "are you there?" {
		t.Errorf("the pong says %q", e.Payload)
	}
	if direct {
		return
	}
	client.echoes("a", hello) // came after the ping
	server.wants("open", "a")
	client.closes("a", 1000, "")
	server.wantsClosed("a", 1000, "")
	server.hasToldNo("ping")
	proxy.wantsMetric(blackbox.OfSide("holdfast_pings_answered_total", "client"), 1)
	proxy.wantsMetric("holdfast_pings_sent_total", 0)
}

func TestClientsOwnKeepalive(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url)
	client := startClient(t, python)
	client.connects(proxy.url, command{ID: "a", Keepalive: 100})

	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pings_answered_total", "client"), 5)
	client.echoes("a", hello)
	client.closes("a", 1000, "")
	client.wantsClosed("a", 1000, "")
}

// A proxy that was stopped sees all its deadlines gone by when it goes on, and
// must hear what its peers have said meanwhile before it judges them.
func TestStoppedProxyDropsNoHealthySession(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const (
		sessions = 200
		interval = 500 * time.Millisecond
		timeout  = 5 * time.Second // also what healthy peers get on a busy machine
	)
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url,
		"HOLDFAST_PING_INTERVAL="+interval.String(), "HOLDFAST_PING_TIMEOUT="+timeout.String())
	client := startClient(t, node)
	for i := range sessions {
		client.asks(proxy.url, command{ID: strconv.Itoa(i)})
	}
	for i := range sessions {
		client.wants("open", strconv.Itoa(i))
	}
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), sessions)
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "upstream"), sessions)

	proxy.Freezes()
	time.Sleep(interval + timeout + time.Second) // no synchronisation: that time passes is the point
	proxy.Thaws()

	before := proxy.Metric("holdfast_pongs_received_total")
	proxy.WantsAtLeast("holdfast_pongs_received_total", before+4*sessions) // two rounds on either leg
	for i := range sessions {
		client.echoes(strconv.Itoa(i), hello)
	}
	proxy.wantsMetric("holdfast_sessions_active", sessions)
	proxy.wantsMetric("holdfast_sessions_dropped_total", 0)
}
