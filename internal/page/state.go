package page

import (
	"strings"

	"holdfast/internal/status"
	"holdfast/proxy"
)

// A level says how urgent the state is.
type level string

const (
	good level = "good"
	warn level = "warn" // it works, and somebody should look
	bad  level = "bad"  // clients are turned away
)

// state is what the page says first.
type state struct {
	Level    level
	Sentence string
	Detail   string
	Key      string // changes when a listener should be told, and not with every number
}

// stateOf says in one sentence what the proxy does.
func stateOf(a Seen) state {
	s := a.Status
	live := counted(s.Sessions, "session", "sessions")
	switch {
	case s.Draining:
		return drainOf(s)
	case !s.Ready:
		return state{bad, "Holdfast is not ready: no upstream is up.",
			counted(s.Sessions, "session is", "sessions are") + " open. New clients are turned away until an upstream works again.", "not ready"}
	case isFull(s):
		st := state{bad, "Holdfast is full: it keeps " + live + " alive, and has no place for more.",
			"New clients are refused with 503. " + limitOf(a), "full"}
		if opening := s.PlacesTaken - s.Sessions; opening > 0 {
			st.Detail = counted(opening, "handshake takes a place too. ", "handshakes take places too. ") + st.Detail
		}
		return st
	}
	st := state{good, "Holdfast keeps " + live + " alive.", "", "ready"}
	if s.Sessions == 0 {
		st.Sentence = "Holdfast is ready, and no session is open."
	}
	var notes []string
	if n := waiting(s.Upstreams); n >= manyWait && n*10 >= s.Sessions {
		st.Level, st.Key = warn, "waiting"
		st.Sentence = strings.TrimSuffix(st.Sentence, ".") + ", and " + counted(n, "client waits", "clients wait") + " for an upstream's answer."
		if s.Sessions == 0 {
			st.Sentence = counted(n, "client waits", "clients wait") + " for an upstream's answer, and no session is open."
		}
		st.Detail = "The table of upstreams says at which address they wait."
	}
	if down := namesOf(s.Upstreams, proxy.TargetDown); down != nil {
		notes = append(notes, counted(len(down), "upstream is down: ", "upstreams are down: ")+some(down)+".")
	}
	if draining := namesOf(s.Upstreams, proxy.TargetDraining); draining != nil {
		notes = append(notes, counted(len(draining), "upstream is out of use: an operator drains ", "upstreams are out of use: an operator drains ")+some(draining)+".")
	}
	if notes != nil {
		st.Level = warn
		st.Detail = strings.TrimSpace(st.Detail + " " + strings.Join(notes, " "))
		st.Key = strings.Join(append([]string{st.Key}, notes...), " ")
	}
	if st.Detail == "" {
		st.Detail = detail(s)
	}
	return st
}

// manyWait is how many clients must wait for an upstream's answer, at least, until the
// state says so. It says so if they are a tenth of the sessions as well.
const manyWait = 10

// waiting returns how many handshakes are on their way to an upstream.
func waiting(all []status.Upstream) (n int) {
	for _, u := range all {
		n += u.Handshakes
	}
	return n
}

// drainOf says how far a drain is.
func drainOf(s status.Status) state {
	left := " The drain takes at most " + span(s.DrainLeft) + " more."
	switch {
	case s.Accepts:
		return state{warn, "Holdfast begins to drain: " + counted(s.Sessions, "session is", "sessions are") + " open.",
			"It still accepts clients, until the balancer has noticed that it is not ready." + left, "begins to drain"}
	case s.Sessions == 0:
		return state{warn, "Holdfast has drained: no session is left.", "It takes no new clients.", "draining"}
	}
	return state{warn, "Holdfast drains: " + counted(s.Sessions, "session is", "sessions are") + " left.",
		"It takes no new clients." + left, "draining"}
}

// isFull reports whether every place of the limit on sessions is taken.
func isFull(s status.Status) bool { return s.SessionsLimit > 0 && s.PlacesTaken >= s.SessionsLimit }

// limitOf says what limits the sessions.
func limitOf(a Seen) string {
	switch {
	case a.Status.SessionsLimit == 0:
		return ""
	case a.LimitedBy == "":
		return "The limit is HOLDFAST_MAX_SESSIONS, or what the descriptors allow."
	}
	return "The limit of " + counted(a.Status.SessionsLimit, "place", "places") + " comes from " + a.LimitedBy + "."
}

// detail says how fast the peers answer.
func detail(s status.Status) string {
	client, upstream := s.Legs.Client.RTT.P50, s.Legs.Upstream.RTT.P50
	switch {
	case client != nil && upstream != nil:
		return "Half of all pings come back within " + milliseconds(client) + " from clients, and within " +
			milliseconds(upstream) + " from upstreams."
	case client != nil:
		return "Half of all pings come back from clients within " + milliseconds(client) + "."
	case upstream != nil:
		return "Half of all pings come back from upstreams within " + milliseconds(upstream) + "."
	case s.Sessions > 0:
		return "No ping has come back yet."
	}
	return "It pings both ends of each session from the first one on."
}

// namesOf names the targets in a state.
func namesOf(all []status.Upstream, in proxy.TargetState) (names []string) {
	for _, u := range all {
		if u.State != in {
			continue
		}
		name := called(u)
		switch {
		case u.Address == "":
			name += " (no address)"
		case u.Name != u.Address && u.Name != "":
			name += " (" + u.Name + ")"
		}
		names = append(names, name)
	}
	return names
}

// some lists up to three names, and says how many more there are.
func some(names []string) string {
	const most = 3
	if more := len(names) - most; more > 0 {
		return strings.Join(names[:most], ", ") + " and " + count(more) + " more"
	}
	return strings.Join(names, ", ")
}
