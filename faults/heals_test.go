//go:build faults

package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	healInterval = 5 * time.Second
	healTimeout  = 5 * time.Second
	healSilence  = 4 * time.Second
	healSessions = 100 // of each kind
	healPhases   = 4   // silences, each later in the interval than the one before
)

// A link that is silent for less than the ping timeout, and then is not, costs no
// session. Each session's schedule is its own, so that the silence falls at every
// point of the interval, and each silence begins at another one too.
func TestLossThatHeals(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"client", "upstream"} {
		for _, kind := range []struct {
			name  string
			talks time.Duration
		}{{"idle", 0}, {"talking", 100 * time.Millisecond}} {
			t.Run(kind.name+", silence before the "+side, func(t *testing.T) {
				t.Parallel()
				testLossThatHeals(t, side, kind.talks)
			})
		}
	}
}

func testLossThatHeals(t *testing.T, side string, talks time.Duration) {
	n := newNetwork(t)
	link, _ := n.leg(side)
	proxy := startHoldfast(t, n,
		"HOLDFAST_PING_INTERVAL="+healInterval.String(),
		"HOLDFAST_PING_TIMEOUT="+healTimeout.String(),
		"HOLDFAST_PING_JITTER=1")
	upstream := startUpstream(t, n, behaviour{TalkEvery: talks})
	client := startClient(t, n, behaviour{TalkEvery: talks, Sessions: healSessions})
	time.Sleep(healInterval) // until each schedule has begun

	for phase := range healPhases {
		link.isSilent()
		time.Sleep(healSilence)
		link.heals()
		// Nothing that began in the silence is undecided any more; and a part of an interval.
		time.Sleep(healInterval + healTimeout + time.Duration(phase)*healInterval/healPhases)
		lost := healSessions - int(proxy.Metric("holdfast_sessions_active"))
		if lost == 0 {
			continue
		}
		message := fmt.Sprintf("after silence %d, %d of %d sessions are lost, want 0:\n%s", phase+1, lost, healSessions, proxy.Scrape().Drops())
		if talks == 0 && !boundsBackoff(t) {
			t.Skip("this kernel has no TCP_RTO_MAX_MS (Linux 6.15), without which its backoff may outlast the timeout: " + message)
		}
		t.Fatal(message)
	}
	upstream.wantsNoEnd()
	client.wantsNoEnd()
}

// boundsBackoff says whether the kernel lets a socket bound the time between two
// retransmissions.
func boundsBackoff(t *testing.T) bool {
	const tcpRTOMax = 44 // TCP_RTO_MAX_MS
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, tcpRTOMax, 2000)
	if err != nil && err != syscall.ENOPROTOOPT {
		t.Fatal(err)
	}
	return err == nil
}
