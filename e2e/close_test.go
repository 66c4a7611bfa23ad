//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	"holdfast/internal/blackbox"
)

// noCode: to send it is an empty Close.
const noCode = 0

// closes are what a peer may end a session with, and what the other must see.
var closes = []struct {
	code   int
	reason string
	seen   int
}{
	{1000, "", 1000},
	{1000, "bye", 1000},
	{1001, "leaving", 1001},
	{3000, "", 3000},
	{4999, "žluťoučký", 4999},
	{noCode, "", 1005}, // by ws alone: websockets always sends a code
}

func TestCloseIsVerbatim(t *testing.T) {
	for _, servers := range []runtime{python, node} {
		for _, clients := range []runtime{python, node} {
			t.Run(clients.name+" to "+servers.name, func(t *testing.T) {
				t.Parallel()
				server := startServer(t, servers, serverOptions{})
				proxy := startHoldfast(t, server.url)
				client := startClient(t, clients)

				begun := testCloses(proxy, client, server, client.closes, clients, "c")
				proxy.wantsMetric(blackbox.Closed("client"), float64(begun))
				begun = testCloses(proxy, client, server, server.closes, servers, "s")
				proxy.wantsMetric(blackbox.Closed("upstream"), float64(begun))
				proxy.wantsMetric("holdfast_sessions_dropped_total", 0)
			})
		}
	}
}

// testCloses ends a session with each of closes by means of begin, and returns how many.
func testCloses(proxy *holdfast, client *client, server *server,
	begin func(id string, code int, reason string), beginner runtime, prefix string) (begun int) {
	for i, c := range closes {
		if c.code == noCode && beginner.name != node.name {
			continue
		}
		id := fmt.Sprint(prefix, i)
		client.connects(proxy.url, command{ID: id})
		server.wants("open", id)
		begin(id, c.code, c.reason)
		// Both peers echo the Close they get (RFC 6455, section 5.5.1).
		server.wantsClosed(id, c.seen, c.reason)
		client.wantsClosed(id, c.seen, c.reason)
		begun++
	}
	return begun
}
