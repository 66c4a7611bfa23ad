//go:build faults

package faults

import (
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

const (
	deafSessions = 1_000
	// deafMemory is what a session may hold whose client never reads: two tails, and as
	// much again for what stands around them.
	deafMemory = 4 * chunkSize
)

// Clients that never read, while their upstreams push without end: each costs its tails,
// and nothing more comes with time. When the clients have gone, the memory is given back.
func TestSoakReceiversThatNeverRead(t *testing.T) {
	n := newNetwork(t)
	proxy := startHoldfast(t, n, "HOLDFAST_PING_INTERVAL=0", "HOLDFAST_WRITE_TIMEOUT=10h", "HOLDFAST_LOG_LEVEL=warn")
	startUpstream(t, n, behaviour{Quiet: true})
	began, descriptors := proxy.memory(), len(proxy.Descriptors())
	filling := proxy.watches(0)
	filling.look()
	deaf := startClient(t, n, behaviour{Sessions: deafSessions, Path: streamPath})
	deaf.Freezes()
	filling.look()
	received := blackbox.OfSide("holdfast_received_bytes_total", "upstream")
	proxy.Until("all sockets are full", stands(func() float64 { return proxy.Metric(received) }))
	trend := proxy.watches(0)
	for trend.look(); time.Since(trend.began) < soakLength(t)/soakParts && !t.Failed(); trend.look() {
		time.Sleep(soakRest)
		if now := proxy.memory(); now > began+deafSessions*deafMemory {
			t.Errorf("%d bytes are held for %d sessions, want at most %d each", now-began, deafSessions, deafMemory)
		}
	}
	trend.wantsFlat()
	if active := proxy.Metric("holdfast_sessions_active"); active != deafSessions {
		t.Errorf("%.0f sessions are active, want all %d", active, deafSessions)
	}
	deaf.IsKilled()
	proxy.WantsMetric("holdfast_sessions_active", 0)
	proxy.Until("its descriptors are those of the beginning", func() bool { return len(proxy.Descriptors()) <= descriptors })
	proxy.Until("its memory is that of the beginning, but for 32 MiB", func() bool { return proxy.memory() <= began+soakMemory })
	trend.look()
}

// The sessions of TestSoakThousands.
const (
	manyIdle    = 8_000
	manyTalking = 980
	manyBulk    = 20 // that are sent endless streams
)

// Thousands of sessions, most of them idle, beside clients that come and go and endless
// streams, while the proxy is stopped now and then. None is lost.
func TestSoakThousands(t *testing.T) {
	n := newNetwork(t)
	proxy := startHoldfast(t, n, "HOLDFAST_PING_INTERVAL=10s", "HOLDFAST_LOG_LEVEL=warn")
	upstream := startUpstream(t, n, behaviour{Echo: true, Quiet: true})
	descriptors := len(proxy.Descriptors())
	peers := []*peer{
		startClient(t, n, behaviour{Sessions: manyIdle}),
		startClient(t, n, behaviour{Sessions: manyTalking, TalkEvery: 5 * time.Second}),
		startClient(t, n, behaviour{Sessions: 20, Visit: "close", Quiet: true}),
		startClient(t, n, behaviour{Sessions: 10, Visit: "abort", Quiet: true}),
	}
	bulk := startClient(t, n, behaviour{Sessions: manyBulk, ReadRate: slowRate, Path: streamPath})
	trend := proxy.watches(30)
	for trend.look(); time.Since(trend.began) < soakLength(t)/soakParts && !t.Failed(); trend.look() {
		proxy.Freezes()
		time.Sleep(time.Second)
		proxy.Thaws()
		time.Sleep(soakRest)
		for _, p := range append(peers, bulk, upstream) {
			p.wantsNoEnd()
		}
		proxy.AccountsForAll()
	}
	trend.wantsFlat()
	for _, p := range peers {
		p.does(command{Do: "finish"})
		p.wants("finished", 1)
	}
	bulk.IsKilled()
	proxy.WantsMetric("holdfast_sessions_active", 0)
	proxy.Until("its descriptors are those of the beginning", func() bool { return len(proxy.Descriptors()) <= descriptors })
}
