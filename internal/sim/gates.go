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
		for _, what := range appGates {
			all = append(all, side.String()+" "+what)
		}
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
	all = append(all, drainGates...)
	return append(all, "refusal passed on", "no permit", "lazy after its session", "lazy after a refusal", "lazy after a refusal passed on", "stop", "failover", "dial to a target that is down", "no target is reached",
		"session of a target that has gone", "session of a target that is drained", "page without a target", "operator", "operator closes a live session", "client slowed", "client keeps its pace")
}

// drainGates are what must have been seen of drains.
var drainGates = []string{
	"drain with the door open", "late client", "late client is told", "late client waits for the door",
	"session opens in the delay of a drain", "drain is spread evenly",
	"drain ends by itself", "drain cuts what is left", "second signal", "SIGINT",
	"stop in the delay of a drain", "stop in a drain", "stop brings a drain forward", "stop behind a drain",
}

// appGates are what must have been seen of messages, on each side.
var appGates = []string{
	"has an application's ping", "answers an application's ping", "answers no application's ping",
	"is dull, and watched", "is dropped for its application",
	"says what the proxy answers", "has an answer", "waits for an answer behind a message", "asks for more answers than there is room for",
	"says what cannot match", "says a message that is no rule's", "says a message just over the limit",
	"closes inside a message that is held back", "violates inside a message that is held back", "leaves inside a message that is held back",
	"says a message over the limit", "says a fragment over the limit",
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
