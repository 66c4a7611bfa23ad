//go:build e2e

package e2e

import (
	"strconv"
	"syscall"
	"testing"

	"holdfast/internal/blackbox"
)

func TestServerKilled(t *testing.T) {
	needsProxy(t)
	for _, servers := range []runtime{python, node} {
		t.Run(servers.name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, servers, serverOptions{})
			proxy := startHoldfast(t, server.url)
			client := startClient(t, python)
			client.connects(proxy.url, command{ID: "a"})
			client.echoes("a", hello)

			server.IsKilled()
			client.wantsClosed("a", 1012, "upstream connection lost")
			proxy.wantsMetric(blackbox.Dropped("upstream", "eof"), 1)
			proxy.wantsMetric("holdfast_sessions_dropped_total", 1)

			client.asks(proxy.url, command{ID: "b"})
			if e := client.wants("refused", "b"); e.Status != 502 {
				t.Errorf("after it a client is refused with %d", e.Status)
			}
		})
	}
}

func TestClientKilled(t *testing.T) {
	needsProxy(t)
	for _, clients := range []runtime{python, node} {
		t.Run(clients.name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, python, serverOptions{})
			proxy := startHoldfast(t, server.url)
			client := startClient(t, clients)
			client.connects(proxy.url, command{ID: "a"})
			client.echoes("a", hello)

			client.IsKilled()
			server.wantsClosed("a", 1001, "client connection lost")
			proxy.wantsMetric(blackbox.Dropped("client", "eof"), 1)
			proxy.wantsMetric("holdfast_sessions_dropped_total", 1)
		})
	}
}

// Whichever way sessions end, their descriptors are closed.
func TestNoDescriptorIsLeft(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url)
	client := startClient(t, node)

	// What is opened once, at first use, belongs to the baseline.
	client.connects(proxy.url, command{ID: "first"})
	client.closes("first", 1000, "")
	client.wantsClosed("first", 1000, "")
	proxy.wantsMetric(blackbox.Closed("client"), 1)
	baseline := proxy.Descriptors()

	const each = 10
	for i := range each {
		begins, answers, dies := "client"+strconv.Itoa(i), "server"+strconv.Itoa(i), "lost"+strconv.Itoa(i)
		for _, id := range []string{begins, answers, dies} {
			client.connects(proxy.url, command{ID: id})
			server.wants("open", id)
		}
		client.closes(begins, 4000, "")
		server.closes(answers, 4001, "")
	}
	proxy.wantsMetric(blackbox.Closed("client"), 1+each)
	proxy.wantsMetric(blackbox.Closed("upstream"), each)
	client.IsKilled()
	proxy.wantsMetric("holdfast_sessions_active", 0)
	var left []string
	defer func() {
		if t.Failed() {
			t.Logf("descriptors at the beginning: %q\nat the end: %q", baseline, left)
		}
	}()
	// The scrape that came before the baseline may still have been in it.
	proxy.Until("its descriptors are those of the beginning", func() bool {
		left = proxy.Descriptors()
		return len(left) <= len(baseline)
	})
}

func TestShutdownTellsEveryone(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const sessions = 20
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_DRAIN_DELAY=1s", "HOLDFAST_DRAIN_SPREAD=2s")
	clients := map[*client][]string{}
	for _, runtime := range []runtime{python, node} {
		client := startClient(t, runtime)
		for i := range sessions {
			id := runtime.name + strconv.Itoa(i)
			client.connects(proxy.url, command{ID: id})
			clients[client] = append(clients[client], id)
		}
	}

	proxy.Signal(syscall.SIGTERM)
	for client, ids := range clients {
		for _, id := range ids {
			if e := client.wants("closed", id); e.Code != 1012 || e.Reason == "" {
				t.Errorf("client %s was closed with %d %q", id, e.Code, e.Reason)
			}
			if e := server.wants("closed", id); e.Code != 1001 || e.Reason == "" {
				t.Errorf("the server's end of %s was closed with %d %q", id, e.Code, e.Reason)
			}
		}
	}
	if code := proxy.WantsEnd(); code != 0 {
		t.Errorf("holdfast ended with exit code %d", code)
	}
}
