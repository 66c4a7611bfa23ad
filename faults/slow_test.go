//go:build faults

package faults

import (
	"testing"

	"holdfast/internal/blackbox"
	"holdfast/internal/fixture"
)

const (
	snapshot  = 1_500_000 // bytes that are sent at once
	linkRate  = 100_000   // bytes a second: the snapshot takes 15 s
	frameSize = 8_000
)

// slowLink are timeouts far shorter than the time that the snapshot is under way.
var slowLink = []string{"HOLDFAST_PING_INTERVAL=1s", "HOLDFAST_PING_TIMEOUT=3s"}

// largeBuffers are those of a proxy's host whose kernel takes the whole snapshot at
// once, as it does by default once a connection has been fast.
const largeBuffers = "4096 4194304 4194304"

// slow makes a network whose link to one side is slow.
func slow(t *testing.T, side string) *network {
	t.Helper()
	n := newNetwork(t)
	n.proxy.writes("/proc/sys/net/ipv4/tcp_wmem", largeBuffers)
	n.proxy.writes("/proc/sys/net/ipv4/tcp_congestion_control", "reno") // which every kernel has
	link, _ := n.leg(side)
	link.isSlow(linkRate)
	return n
}

// A client on a slow link answers each ping as soon as it gets it.
func TestSlowLinkToTheClient(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	for _, c := range []struct {
		name     string
		settings []string
		trusted  string
	}{
		{"plain", nil, ""},
		{"TLS", []string{"HOLDFAST_TLS_CERT_FILE=" + cert, "HOLDFAST_TLS_KEY_FILE=" + key}, cert},
		{"only a pong counts", []string{"HOLDFAST_LIVENESS=pong"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := slow(t, "client")
			proxy := startHoldfast(t, n, append(c.settings, slowLink...)...)
			upstream := startUpstream(t, n, behaviour{})
			client := startClient(t, n, behaviour{TellEvery: snapshot, CA: c.trusted})

			upstream.does(command{Do: "send", Bytes: snapshot, Size: frameSize})
			client.wants("received", 1)
			staysAlive(proxy, "client")
			client.wantsNoEnd()
			proxy.wantsNoneDropped()
		})
	}
}

// The other direction: the service takes the client's messages slowly.
func TestSlowLinkToTheUpstream(t *testing.T) {
	t.Parallel()
	n := slow(t, "upstream")
	proxy := startHoldfast(t, n, slowLink...)
	upstream := startUpstream(t, n, behaviour{TellEvery: snapshot})
	client := startClient(t, n, behaviour{})

	client.does(command{Do: "send", Bytes: snapshot, Size: frameSize})
	upstream.wants("received", 1)
	staysAlive(proxy, "upstream")
	client.wantsNoEnd()
	proxy.wantsNoneDropped()
}

// staysAlive waits until three more pings of a side have been answered.
func staysAlive(proxy *holdfast, side string) {
	proxy.T.Helper()
	pongs := blackbox.OfSide("holdfast_pongs_received_total", side)
	enough := proxy.Metric(pongs) + 3
	proxy.Until("three more pongs", func() bool {
		scrape := proxy.Scrape()
		if scrape.Value("holdfast_sessions_active") == 0 {
			proxy.T.Fatalf("the session has ended, want three more pongs:\n%s", scrape.Drops())
		}
		return scrape.Value(pongs) >= enough
	})
}

// A Close behind a snapshot is not late by the fault of the client, which needs 15 s
// to get to it.
func TestCloseBehindASlowLink(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"client", "upstream"} {
		t.Run("to the "+side, func(t *testing.T) {
			t.Parallel()
			n := slow(t, side)
			proxy := startHoldfast(t, n, append(slowLink, "HOLDFAST_CLOSE_TIMEOUT=3s")...)
			receiver, from := startUpstream(t, n, behaviour{TellEvery: snapshot}), "client"
			sender := startClient(t, n, behaviour{TellEvery: snapshot})
			if side == "client" {
				receiver, sender, from = sender, receiver, "upstream"
			}

			sender.does(command{Do: "send", Bytes: snapshot, Size: frameSize, Code: 4000, Reason: "done"})
			receiver.wants("received", 1)
			receiver.wantsClosed(4000, "done")
			sender.wantsClosed(4000, "done")
			proxy.WantsMetric(blackbox.Closed(from), 1)
			proxy.wantsNoneDropped()
		})
	}
}

// A program that reads slowly acknowledges everything at once and reaches each ping
// late. That it reads is what proves it alive. Of a large buffer it takes many
// seconds until a third is free, which is when the kernel calls a socket writable
// again: what the program has acknowledged meanwhile is progress.
func TestSlowProgram(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"client", "upstream"} {
		for _, c := range []struct {
			name     string
			buffers  string // tcp_wmem of the proxy's host; empty = the kernel's defaults
			program  behaviour
			settings []string
		}{
			{"pinged", "", slowProgram, []string{"HOLDFAST_PING_INTERVAL=1s", "HOLDFAST_PING_TIMEOUT=2s"}},
			{"behind a large buffer", largeBuffers, slowProgram, []string{"HOLDFAST_PING_INTERVAL=0", "HOLDFAST_WRITE_TIMEOUT=5s"}},
			// The kernel counts TCP_USER_TIMEOUT on while a window is smaller than what it
			// has to send, though the program takes some bytes all the time.
			{"with little room", "", behaviour{ReadRate: 5_000, ReadBuffer: 4096}, []string{"HOLDFAST_PING_INTERVAL=0", "HOLDFAST_TCP_USER_TIMEOUT=5s"}},
		} {
			t.Run(side+", "+c.name, func(t *testing.T) {
				t.Parallel()
				testSlowProgram(t, side, c.buffers, c.program, c.settings)
			})
		}
	}
}

// slowProgram has the buffer of a program that reads so slowly: the kernel lets the
// buffers of fast readers grow. A full one takes nothing until half of it has been read,
// so one that holds more than WRITE_TIMEOUT's worth of reading cannot be told from a
// frozen program's.
var slowProgram = behaviour{ReadRate: 60_000, ReadBuffer: 64 << 10}

func testSlowProgram(t *testing.T, side, buffers string, slow behaviour, settings []string) {
	n := newNetwork(t)
	if buffers != "" {
		n.proxy.writes("/proc/sys/net/ipv4/tcp_wmem", buffers)
	}
	proxy := startHoldfast(t, n, settings...)
	slow.TellEvery = slow.ReadRate
	var reader, writer *peer
	if side == "client" {
		writer = startUpstream(t, n, behaviour{})
		reader = startClient(t, n, slow)
	} else {
		reader = startUpstream(t, n, slow)
		writer = startClient(t, n, behaviour{})
	}
	writer.does(command{Do: "flood", Size: frameSize})
	reader.wants("received", 25) // a second each
	writer.wantsNoEnd()
	proxy.wantsNoneDropped()
}

// certificate makes one for the proxy and returns the names of its files.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	cert, key := fixture.PEM(fixture.SelfSigned(proxyAddress, fixture.Soon()))
	return fixture.Write(t, "cert.pem", cert), fixture.Write(t, "key.pem", key)
}
