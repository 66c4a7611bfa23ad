//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/blackbox"
)

// messages are one of each length encoding (RFC 6455, section 5.2), fragmented
// ones, and such as no buffer holds.
var messages = []message{
	hello,
	{kind: "binary", size: 125},
	{kind: "binary", size: 126},
	{kind: "text", size: 64 << 10},
	{kind: "binary", size: 64<<10 + 1},
	{kind: "text", size: 1000, fragments: 3},
	{kind: "binary", size: 1 << 20, fragments: 5},
	{kind: "text", size: 10 << 20},
	{kind: "binary", size: 10 << 20},
	{kind: "binary", size: 10 << 20, fragments: 7},
}

func TestEcho(t *testing.T) {
	services := []struct {
		runtime
		options serverOptions
	}{
		{python, serverOptions{}},
		{python, serverOptions{Deflate: true}},
		{node, serverOptions{}},
		{node, serverOptions{Deflate: true}},
		{node, serverOptions{Fragments: 4}},
		{node, serverOptions{Fragments: 4, Deflate: true}},
	}
	for _, service := range services {
		for _, clients := range []runtime{python, node} {
			name := fmt.Sprintf("%s to %s deflate=%t fragments=%d",
				clients.name, service.name, service.options.Deflate, service.options.Fragments)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				testEcho(t, clients, service.runtime, service.options)
			})
		}
	}
}

func testEcho(t *testing.T, clients, servers runtime, o serverOptions) {
	server := startServer(t, servers, o)
	proxy := startHoldfast(t, server.url)
	client := startClient(t, clients)

	opened := client.connects(proxy.url, command{ID: "a", Deflate: o.Deflate})
	agreed := server.wants("open", "a")
	if got := strings.Contains(agreed.Extensions, "permessage-deflate"); got != o.Deflate {
		t.Errorf("the server's extensions are %q", agreed.Extensions)
	}
	if opened.Extensions != agreed.Extensions && clients.name == servers.name {
		t.Errorf("the client's extensions are %q, the server's %q", opened.Extensions, agreed.Extensions)
	}
	for _, m := range messages {
		client.echoes("a", m)
	}
	client.closes("a", 1000, "done")
	server.wantsClosed("a", 1000, "done")
	client.wantsClosed("a", 1000, "done")
	proxy.wantsMetric(blackbox.Closed("client"), 1)
}

// A client that offers compression to a service without gets none.
func TestCompressionDeclined(t *testing.T) {
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url)
	client := startClient(t, python)

	if opened := client.connects(proxy.url, command{ID: "a", Deflate: true}); opened.Extensions != "" {
		t.Errorf("the client's extensions are %q", opened.Extensions)
	}
	client.echoes("a", hello)
}

// A service that would compress is not offered it.
func TestCompressionLeftOut(t *testing.T) {
	needsProxy(t)
	for _, servers := range []runtime{python, node} {
		t.Run(servers.name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, servers, serverOptions{Deflate: true})
			proxy := startHoldfast(t, server.url, "HOLDFAST_COMPRESSION=off")
			client := startClient(t, node)

			if opened := client.connects(proxy.url, command{ID: "a", Deflate: true}); opened.Extensions != "" {
				t.Errorf("the client's extensions are %q", opened.Extensions)
			}
			client.echoes("a", hello)
		})
	}
}

func TestSubprotocol(t *testing.T) {
	for _, servers := range []runtime{python, node} {
		for _, clients := range []runtime{python, node} {
			t.Run(clients.name+" to "+servers.name, func(t *testing.T) {
				t.Parallel()
				server := startServer(t, servers, serverOptions{Protocols: []string{"chat.v2", "chat.v3"}})
				proxy := startHoldfast(t, server.url)
				client := startClient(t, clients)

				opened := client.connects(proxy.url, command{ID: "a", Protocols: []string{"chat.v1", "chat.v2"}})
				if opened.Protocol != "chat.v2" {
					t.Errorf("the client speaks %q", opened.Protocol)
				}
				if agreed := server.wants("open", "a"); agreed.Protocol != "chat.v2" {
					t.Errorf("the server speaks %q", agreed.Protocol)
				}
				client.echoes("a", hello)
			})
		}
	}
}
