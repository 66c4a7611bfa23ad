//go:build faults

package faults

import (
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

const (
	squeezedHealthy  = 20
	squeezedVisitors = 120 // more than there is room for
	fewDescriptors   = "192"
	fewPorts         = "50000 50063"
)

// More clients than the proxy has descriptors or ports for: those that are in stay, the
// others are refused, and as soon as there is room again clients are let in.
func TestSoakSqueezed(t *testing.T) {
	for _, c := range []struct {
		name    string
		squeeze func(*network)
		limited bool // in descriptors
	}{
		{"few descriptors", func(*network) {}, true},
		{"few ports", func(n *network) { n.proxy.writes("/proc/sys/net/ipv4/ip_local_port_range", fewPorts) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t)
			c.squeeze(n)
			command := n.proxy.command(binary)
			if c.limited {
				command = n.proxy.command("sh", "-c", `ulimit -n `+fewDescriptors+` && exec "$0"`, binary)
			}
			testSqueezed(t, n, startHoldfastAs(t, n, command, "HOLDFAST_LOG_LEVEL=warn"))
		})
	}
}

func testSqueezed(t *testing.T, n *network, proxy *holdfast) {
	startUpstream(t, n, behaviour{Echo: true, Quiet: true})
	healthy := startClient(t, n, behaviour{Sessions: squeezedHealthy, TalkEvery: time.Second})
	descriptors := len(proxy.Descriptors())
	var crowd []*peer
	for _, visit := range []string{"stay", "close", "abort"} {
		crowd = append(crowd, startPeer(t, n.client, "the crowd", behaviour{Sessions: squeezedVisitors, Visit: visit, Quiet: true, Tolerant: true}))
	}
	proxy.WantsAtLeast(blackbox.Handshakes("limit"), squeezedVisitors)
	trend := proxy.watches(3 * squeezedVisitors)
	for trend.look(); time.Since(trend.began) < soakLength(t)/soakParts && !t.Failed(); trend.look() {
		time.Sleep(soakRest)
		healthy.wantsNoEnd()
		proxy.AccountsForAll()
	}
	trend.wantsFlat()
	for _, p := range crowd {
		p.IsKilled()
	}
	proxy.WantsMetric("holdfast_sessions_active", squeezedHealthy)
	proxy.Until("its descriptors are those of the beginning", func() bool { return len(proxy.Descriptors()) <= descriptors })
	healthy.wantsNoEnd()
	// A port is free again once its last connection is forgotten, which takes a minute.
	proxy.Patience = 2 * time.Minute
	let := proxy.Metric(blackbox.Handshakes("ok"))
	startPeer(t, n.client, "a late client", behaviour{Visit: "close", Quiet: true, Tolerant: true})
	proxy.WantsAtLeast(blackbox.Handshakes("ok"), let+1)
}

// The proxy is killed under load and started again, over and over: each new one serves
// the clients that come back, and they get no bytes but their own.
func TestSoakRestart(t *testing.T) {
	n := newNetwork(t)
	startUpstream(t, n, behaviour{Echo: true, Quiet: true, Tolerant: true})
	proxy := startHoldfast(t, n, "HOLDFAST_LOG_LEVEL=warn")
	crowd := startPeer(t, n.client, "the crowd", behaviour{Sessions: squeezedVisitors, Visit: "close", Quiet: true, Tolerant: true})
	restarts := 0
	for began := time.Now(); time.Since(began) < soakLength(t)/soakParts; restarts++ {
		proxy.WantsAtLeast(blackbox.Handshakes("ok"), 10*squeezedVisitors)
		proxy.AccountsForAll()
		proxy.IsKilled()
		proxy = startHoldfast(t, n, "HOLDFAST_LOG_LEVEL=warn")
	}
	proxy.WantsAtLeast(blackbox.Handshakes("ok"), squeezedVisitors)
	crowd.does(command{Do: "finish"})
	crowd.wants("finished", 1)
	proxy.WantsMetric("holdfast_sessions_active", 0)
	t.Logf("killed and started again %d times", restarts)
}
