//go:build faults

package faults

import (
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// What a dead peer may take to be found.
const (
	lostInterval     = time.Second
	lostPingTimeout  = 2 * time.Second
	lostWriteTimeout = 3 * time.Second
	// slack is for processes that share few cores with others: a proxy's timer that is
	// some milliseconds late, a peer's wake-up, the test's own. It is half of the
	// shortest time that matters here, so that one ping or one look too many would show.
	slack = lostInterval / 2
)

// pingBound is the promise: interval and timeout, and one percent.
const pingBound = (lostInterval+lostPingTimeout)*101/100 + slack

// writeBound is for a leg whose socket is full, from the moment at which it takes no
// more: a write timeout after its last progress, as near as one look, half of a timeout,
// can tell.
const writeBound = lostWriteTimeout*3/2*101/100 + slack

// A peer's host is cut off from the network, or its program is frozen. It is found
// and both sides end, whatever the other side does meanwhile.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"client", "upstream"} {
		for _, frozen := range []bool{false, true} {
			for _, c := range []struct {
				name    string
				other   command // what the other side does from then on
				bound   time.Duration
				reasons []string
			}{
				{"idle", command{}, pingBound, []string{"ping_timeout"}},
				{"sent 10 KB/s", command{Do: "flood", Size: 1000, Rate: 10_000}, pingBound, []string{"ping_timeout"}},
				// Whichever comes first: the write timeout, or that of a ping that has left before.
				{"sent all that it takes", command{Do: "flood", Size: frameSize}, max(pingBound, writeBound), []string{"ping_timeout", "write_timeout"}},
			} {
				name := "dead " + side + " host, " + c.name
				if frozen {
					name = "frozen " + side + ", " + c.name
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					testDeadPeer(t, side, frozen, c.other, c.bound, c.reasons)
				})
			}
		}
	}
}

func testDeadPeer(t *testing.T, side string, frozen bool, other command, bound time.Duration, reasons []string) {
	n := newNetwork(t)
	proxy := startHoldfast(t, n,
		"HOLDFAST_PING_INTERVAL="+lostInterval.String(),
		"HOLDFAST_PING_TIMEOUT="+lostPingTimeout.String(),
		"HOLDFAST_WRITE_TIMEOUT="+lostWriteTimeout.String())
	upstream := startUpstream(t, n, behaviour{})
	client := startClient(t, n, behaviour{})
	dies, stays, staying, code := client, upstream, "upstream", 1001
	if side == "upstream" {
		dies, stays, staying, code = upstream, client, "client", 1012
	}
	staysAlive(proxy, side)

	if frozen {
		dies.Freezes()
	} else {
		link, _ := n.leg(side)
		link.isSilent()
	}
	died := time.Now()
	if other.Do != "" {
		stays.does(other)
	}
	if other.Do != "" && other.Rate == 0 {
		received := blackbox.OfSide("holdfast_received_bytes_total", staying)
		proxy.Until("the sockets are full", stands(func() float64 { return proxy.Metric(received) }))
		died = time.Now().Add(-standstill)
	}
	told := stays.wants("closed", 1)
	if took := time.Since(died); took > bound {
		t.Errorf("found after %v, want at most %v", took, bound)
	}
	if told.Code != code {
		t.Errorf("the other side is sent Close %d %q, want %d", told.Code, told.Reason, code)
	}
	// Both connections are closed when the session is counted.
	proxy.WantsMetric("holdfast_sessions_active", 0)
	scrape := proxy.Scrape()
	var counted float64
	for _, reason := range reasons {
		counted += scrape.Value(blackbox.Dropped(side, reason))
	}
	if counted != 1 {
		t.Errorf("want it counted as %s %v, got:\n%s", side, reasons, scrape.Drops())
	}
}
