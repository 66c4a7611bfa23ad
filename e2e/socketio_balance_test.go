//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"testing"
)

// A client of socket.io polls, and then upgrades. All of its requests must reach the server
// that has given it its session. Nothing but the rule of the balance sees to that here.
func TestSocketIOWithTwoServers(t *testing.T) {
	needsProxy(t)
	for _, c := range []struct {
		balance string
		client  func(i int) command
	}{
		{"hash:ip", func(i int) command { return command{From: fmt.Sprintf("127.0.0.%d", 2+i)} }},
		{"hash:cookie:seat", func(i int) command { return command{Cookie: fmt.Sprintf("theme=dark; seat=%d", i)} }},
	} {
		t.Run(c.balance, func(t *testing.T) {
			t.Parallel()
			servers, proxy, client := startSocketIOPair(t, c.balance, c.client)
			for i := range socketIOClients {
				id := strconv.Itoa(i)
				if e := client.wantsOneOf(id, "upgraded", "refused", "closed"); e.Event != "upgraded" {
					t.Fatalf("client %s is %s: %d %s", id, e.Event, e.Status, e.Reason)
				}
				client.wants("connected", id)
				client.echoes(id, hello)
			}
			for _, s := range servers {
				proxy.WantsAtLeast(sessionsAt(s.url), 1)
			}
		})
	}
}

// A rule that sends a client's requests to one server after another is the test of the test
// above: with it not all of these clients work.
func TestSocketIOWithoutAffinity(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	_, _, client := startSocketIOPair(t, "round_robin", func(int) command { return command{} })
	client.wantsThat("a client that fails", func(e event) bool { return e.Event == "refused" || e.Event == "closed" })
	client.IsKilled() // or the proxy would wait for polls when it stops
}

const socketIOClients = 20

// startSocketIOPair starts a proxy before two servers, and lets clients connect.
func startSocketIOPair(t *testing.T, balance string, who func(i int) command) ([2]*server, *holdfast, *client) {
	t.Helper()
	first, client := startSocketIO(t)
	second := startSocketIOServer(t)
	proxy := startHoldfast(t, first.url+","+second.url, "HOLDFAST_BALANCE="+balance)
	for i := range socketIOClients {
		options := who(i)
		options.ID, options.Transports = strconv.Itoa(i), []string{"polling", "websocket"}
		client.asks(proxy.url, options)
	}
	return [2]*server{first, second}, proxy, client
}
