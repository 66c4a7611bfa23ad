//go:build faults

package faults

import (
	"cmp"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

const (
	soakRest    = 8 * time.Second // between two faults: more than interval and timeout
	soakVictims = 10              // sessions that freeze each time
	slowReaders = 20              // that are sent endless streams
	slowRate    = 50_000          // bytes a second that each of them reads
	soakMemory  = 32 << 20        // bytes that the process may keep beyond what it began with
)

// TestSoak runs sessions of all kinds for a while, with a fault every some seconds
// that all but the frozen must survive. Then everything must be as in the beginning.
func TestSoak(t *testing.T) {
	length := soakLength(t) / soakParts
	s := newSoak(t)
	descriptors, memory := len(s.proxy.Descriptors()), s.proxy.memory()
	s.comes()
	faults := []struct {
		name    string
		happens func()
	}{
		{"the clients' link is silent", func() { isSilent(s.network.near) }},
		{"some clients freeze", s.someFreeze},
		{"the upstream's link is silent", func() { isSilent(s.network.far) }},
		{"the clients' link is slow", s.isSlow},
		{"the proxy is stopped", s.stops},
	}
	trend := s.proxy.watches(15)
	for i := 0; time.Since(trend.began) < length && !t.Failed(); i++ {
		fault := faults[i%len(faults)]
		fault.happens()
		time.Sleep(soakRest)
		t.Logf("%s; %.0f sessions opened", fault.name, s.proxy.Metric("holdfast_sessions_opened_total"))
		trend.look()
		s.isWell()
	}
	trend.wantsFlat()
	s.goes()
	s.wantsOnlyTheFrozenDropped()
	s.proxy.Until("its descriptors are those of the beginning", func() bool { return len(s.proxy.Descriptors()) <= descriptors })
	s.proxy.Until("its memory is that of the beginning, but for 32 MiB", func() bool { return s.proxy.memory() <= memory+soakMemory })
	t.Logf("memory %d KiB at the beginning, %d KiB at the end", memory>>10, s.proxy.memory()>>10)
}

// soakParts is how many tests share the time of a soak.
const soakParts = 6

// soakLength returns how long a soak takes in all: SOAK, or a minute.
func soakLength(t *testing.T) time.Duration {
	t.Helper()
	length, err := time.ParseDuration(cmp.Or(os.Getenv("SOAK"), "1m"))
	if err != nil {
		t.Fatalf("SOAK: %v", err)
	}
	return length
}

// A soak is a network with all that goes on in it.
type soak struct {
	t        *testing.T
	network  *network
	proxy    *holdfast
	upstream *peer
	healthy  []*peer // clients that end when they are told to
	slow     *peer   // clients that read an endless stream slowly: a Close behind it would take long
	frozen   int     // sessions so far
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, network: newNetwork(t)}
	s.proxy = startHoldfast(t, s.network, "HOLDFAST_PING_INTERVAL=2s", "HOLDFAST_PING_TIMEOUT=4s", "HOLDFAST_LOG_LEVEL=warn")
	s.upstream = startUpstream(t, s.network, behaviour{Echo: true, Quiet: true})
	// What is opened once, at first use, belongs to the beginning.
	first := startClient(t, s.network, behaviour{Sessions: 2})
	first.does(command{Do: "close", Code: 1000})
	first.wants("closed", 2)
	s.proxy.WantsMetric("holdfast_sessions_active", 0)
	return s
}

// comes starts the clients.
func (s *soak) comes() {
	for _, b := range []behaviour{
		{Sessions: 200},
		{Sessions: 100, TalkEvery: 100 * time.Millisecond},
		{Sessions: 20, TalkEvery: time.Second, PingEvery: 100 * time.Millisecond},
		{Sessions: 10, Visit: "close", Quiet: true},
		{Sessions: 5, Visit: "abort", Quiet: true},
	} {
		s.healthy = append(s.healthy, startClient(s.t, s.network, b))
	}
	s.slow = startClient(s.t, s.network, behaviour{Sessions: slowReaders, ReadRate: slowRate, Path: streamPath})
}

// goes ends the clients, all by a Close but for the slow.
func (s *soak) goes() {
	for _, p := range s.healthy {
		p.does(command{Do: "finish"})
		p.wants("finished", 1)
	}
	s.slow.IsKilled()
	s.proxy.WantsMetric("holdfast_sessions_active", 0)
}

func (s *soak) isWell() {
	s.t.Helper()
	for _, p := range append(s.healthy, s.slow, s.upstream) {
		p.wantsNoEnd()
	}
	s.proxy.AccountsForAll()
}

func isSilent(l *link) {
	l.isSilent()
	time.Sleep(2 * time.Second)
	l.heals()
}

// isSlow leaves the slow readers' streams twice what they take. With no more than that
// the link would be full for good, and TCP could get nothing through for longer
// than the ping timeout: that is what the timeout is for.
func (s *soak) isSlow() {
	s.network.near.isSlow(2 * slowReaders * slowRate)
	time.Sleep(5 * time.Second)
	s.network.near.isFast()
}

func (s *soak) stops() {
	s.proxy.Freezes()
	time.Sleep(time.Second)
	s.proxy.Thaws()
}

// someFreeze waits until clients that froze have been found.
func (s *soak) someFreeze() {
	victims := startClient(s.t, s.network, behaviour{Sessions: soakVictims, TalkEvery: 100 * time.Millisecond})
	victims.Freezes()
	s.frozen += soakVictims
	s.proxy.Until("those that froze are dropped", func() bool {
		return s.proxy.Metric(blackbox.Dropped("client", "ping_timeout")) >= float64(s.frozen)
	})
	victims.IsKilled()
}

// wantsOnlyTheFrozenDropped allows for clients that ended without a Close.
func (s *soak) wantsOnlyTheFrozenDropped() {
	s.t.Helper()
	scrape := s.proxy.Scrape()
	if got := scrape.Value(blackbox.Dropped("client", "ping_timeout")); got != float64(s.frozen) {
		s.t.Errorf("%v sessions were dropped for their clients' silence, want the %d that froze", got, s.frozen)
	}
	for line := range strings.Lines(scrape.Drops()) {
		series, _, _ := strings.Cut(line, " ")
		switch series {
		case blackbox.Dropped("client", "ping_timeout"), blackbox.Dropped("client", "eof"), blackbox.Dropped("client", "reset"):
		default:
			s.t.Errorf("want no healthy session dropped: %s", line)
		}
	}
}
