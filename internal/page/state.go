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
func stateOf(s status.Status) state {
	live := counted(s.Sessions, "session", "sessions")
	down, draining := outOfUse(s.Upstreams)
	switch {
	case s.Draining:
		st := state{warn, "Holdfast drains: " + counted(s.Sessions, "session is", "sessions are") + " left.",
			"It takes no new clients. The drain takes at most " + span(s.DrainLeft) + " more.", "draining"}
		if s.Sessions == 0 {
			st.Sentence, st.Detail = "Holdfast has drained: no session is left.", "It takes no new clients."
		}
		return st
	case !s.Ready:
		return state{bad, "Holdfast is not ready: no upstream is up.",
			counted(s.Sessions, "session is", "sessions are") + " open. New clients are turned away until an upstream works again.", "not ready"}
	case s.SessionsLimit > 0 && s.Sessions >= s.SessionsLimit:
		return state{bad, "Holdfast is full: it keeps " + live + " alive, and has no place for more.",
			"New clients are refused with 503. The limit is HOLDFAST_MAX_SESSIONS, or what the descriptors allow.", "full"}
	}
	st := state{good, "Holdfast keeps " + live + " alive.", "", "ready"}
	if s.Sessions == 0 {
		st.Sentence = "Holdfast is ready, and has no sessions yet."
	}
	var notes []string
	if down > 0 {
		notes = append(notes, counted(down, "upstream is down.", "upstreams are down."))
	}
	if draining > 0 {
		notes = append(notes, counted(draining, "upstream is out of use: an operator drains it.", "upstreams are out of use: an operator drains them."))
	}
	if notes != nil {
		st.Level, st.Detail = warn, strings.Join(notes, " ")
		st.Key = strings.Join(append([]string{st.Key}, notes...), " ")
		return st
	}
	st.Detail = detail(s)
	return st
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
	case s.Sessions > 0:
		return "No ping has come back yet."
	}
	return "It pings both ends of each session from the first one on."
}

// outOfUse counts the targets that get no sessions.
func outOfUse(all []status.Upstream) (down, draining int) {
	for _, u := range all {
		if u.State == proxy.TargetDown {
			down++
		}
		if u.State == proxy.TargetDraining {
			draining++
		}
	}
	return down, draining
}
