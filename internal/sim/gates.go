package main

import (
	"fmt"
	"slices"

	"holdfast/metrics"
	"holdfast/proxy"
)

// wanted is all that a run of many seeds must have seen: each state that the loops can be
// in, each end that is legal, each fault, each act of each side, each way in which a
// handshake goes wrong.
func wanted() (all []string) {
	all = append(all, proxy.States()...)
	for side := range proxy.Side(3) {
		for reason := metrics.PingTimeout; reason <= metrics.Internal; reason++ {
			if end := dropped(side, reason); metrics.LegalDrop(side, reason) {
				all = append(all, end)
			}
		}
	}
	for _, fault := range []string{"again", "short", "ghost", "poller", "accept", "connect", "stopped", "stall", "TLS", "lookup", "detach", "panic", "probe"} {
		all = append(all, "fault "+fault)
	}
	for _, side := range []proxy.Side{client, service} {
		all = append(all, "closed by "+side.String(), side.String()+" early", side.String()+" is closed", side.String()+" cut inside a frame",
			side.String()+" pinged inside a message", side.String()+" answered inside a message", side.String()+" has its last word")
		for kind := range kinds {
			all = append(all, side.String()+" act "+kind.String())
		}
		for _, v := range violations {
			all = append(all, side.String()+" violates by "+v.name)
		}
	}
	for o := SaysNothing; o < openings; o++ {
		all = append(all, "opening: "+o.String())
	}
	for _, status := range []int{101, 400, 408, 426, 429, 502, 503, 504} {
		all = append(all, fmt.Sprint("status ", status))
	}
	for kind := range ills {
		all = append(all, "host "+kind.String())
	}
	for _, b := range balances {
		all = append(all, "balance "+b.name)
	}
	return append(all, "refusal passed on", "no permit", "lazy after its session", "lazy after a refusal", "lazy after a refusal passed on", "stop", "failover", "dial to a target that is down", "no target is reached",
		"session of a target that has gone", "session of a target that is drained", "page without a target", "operator", "operator closes a live session")
}

// dropped is what a run sees when a session is dropped.
func dropped(side proxy.Side, reason metrics.Reason) string {
	return "dropped " + side.String() + " " + reason.String()
}

// missing returns what was not seen.
func missing(seen map[string]int) (all []string) {
	for _, what := range wanted() {
		if seen[what] == 0 {
			all = append(all, what)
		}
	}
	slices.Sort(all)
	return all
}
