//go:build faults

package faults

import (
	"fmt"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// The proxy is stopped while pongs, or answers to a Close, are on their way, each
// behind messages that arrive before it. When it goes on the deadlines have passed, but
// the answers have come: it must read them before it judges.
const (
	stopSessions = 10
	stopTimeout  = time.Second // of pings and of Closes
	// stopQueue is what lies before an answer: many reads of the proxy's, and less than
	// its socket takes with receiveBuffers.
	stopQueue      = 256 << 10
	receiveBuffers = "4096 4194304 33554432"
	// answerDelay is a healthy peer's, and leaves time to stop the proxy.
	answerDelay = 300 * time.Millisecond
)

// Some messages fill a read exactly, with their headers, so that it ends between two.
var stopMessages = []struct {
	from string
	size int // of a payload
}{
	{"upstream", 8},
	{"upstream", 12}, // 14 bytes with its header, as 8 bytes are from a client
	{"client", 8},
}

func TestStoppedBeforeAPong(t *testing.T) {
	t.Parallel()
	for _, c := range stopMessages {
		t.Run(fmt.Sprintf("behind messages of %d bytes from the %s", c.size, c.from), func(t *testing.T) {
			t.Parallel()
			proxy, client, answers := startStopped(t, c.from, c.size, stopSessions)
			answers.wants("pinged", stopSessions) // all have the same schedule
			stopped(proxy, func() { answers.wants("answered", stopSessions) })
			pongs := blackbox.OfSide("holdfast_pongs_received_total", c.from)
			proxy.Until("the pongs are read", func() bool {
				scrape := proxy.Scrape()
				if drops := scrape.Drops(); drops != "" {
					proxy.T.Fatalf("sessions are dropped whose pongs had come:\n%s", drops)
				}
				return scrape.Value(pongs) >= stopSessions
			})
			client.wantsNoEnd()
		})
	}
}

func TestStoppedBeforeAClose(t *testing.T) {
	t.Parallel()
	for _, c := range stopMessages {
		t.Run(fmt.Sprintf("behind messages of %d bytes from the %s", c.size, c.from), func(t *testing.T) {
			t.Parallel()
			proxy, begins, answers := startStopped(t, c.from, c.size, stopSessions)
			begins.does(command{Do: "close", Code: 4000, Reason: "done"})
			answers.wants("closing", stopSessions)
			stopped(proxy, func() { answers.wants("closed", stopSessions) })
			begins.wants("closed", stopSessions)
			proxy.WantsMetric("holdfast_sessions_active", 0)
			proxy.wantsNoneDropped()
		})
	}
}

// startStopped opens sessions whose pings leave together. Those of the peer at from
// answer behind a queue of messages.
func startStopped(t *testing.T, from string, size, sessions int) (proxy *holdfast, other, answers *peer) {
	t.Helper()
	n := newNetwork(t)
	n.proxy.writes("/proc/sys/net/ipv4/tcp_rmem", receiveBuffers)
	proxy = startHoldfast(t, n, "HOLDFAST_LIVENESS=pong", "HOLDFAST_PING_JITTER=0",
		"HOLDFAST_PING_INTERVAL=2s", "HOLDFAST_PING_TIMEOUT="+stopTimeout.String(), "HOLDFAST_CLOSE_TIMEOUT="+stopTimeout.String())
	slow := behaviour{Sessions: sessions, TellAsked: true, AnswerDelay: answerDelay, AnswerAfter: stopQueue, AnswerSize: size}
	plain := behaviour{Sessions: sessions}
	if from == "upstream" {
		answers = startUpstream(t, n, slow)
		return proxy, startClient(t, n, plain), answers
	}
	other = startUpstream(t, n, plain)
	return proxy, other, startClient(t, n, slow)
}

// stopped stops the proxy until all answers have come and all deadlines are past. A busy
// machine may take long to make the answers.
func stopped(proxy *holdfast, untilAnswered func()) {
	proxy.T.Helper()
	proxy.Freezes()
	untilAnswered()
	time.Sleep(2 * stopTimeout)
	proxy.Thaws()
}
