package proxy

import (
	"strings"

	"holdfast/proxy/internal/backend"
)

// A TargetStatus is what is known about one target: one address of an upstream. An upstream
// whose name leads to no address has one TargetStatus without an address, unless an address
// that it led to before has sessions left.
type TargetStatus struct {
	Upstream string // the upstream's name in the log and the metrics: scheme and authority
	Address  string // host:port, or the path of a socket; empty if there is none
	State    TargetState
	Reason   string // why it is down, or has no address; else empty
	Sessions int    // that are open to it

	Handshakes int // that have chosen it and are not sessions yet
}

// A TargetState says whether a target gets sessions.
type TargetState string

const (
	TargetUp       TargetState = "up"
	TargetDown     TargetState = "down"     // it gets sessions only while no other target is up
	TargetDraining TargetState = "draining" // an operator has taken it out of use
	TargetGone     TargetState = "gone"     // its upstream's name does not lead to it any more; it keeps its sessions
)

// Name returns the name by which operators call the target's upstream: host:port, or the
// path of a socket.
func (t TargetStatus) Name() string { return targetName(t.Upstream) }

// targetName returns an upstream's name without its scheme.
func targetName(upstream string) string {
	_, name, _ := strings.Cut(upstream, ":")
	return strings.TrimPrefix(name, "//")
}

// Targets returns the status of every target. Each upstream is there.
func (s *Server) Targets() (all []TargetStatus) {
	for _, t := range s.pool.Targets() {
		all = append(all, TargetStatus{
			Upstream: t.Upstream, Address: t.Address, State: stateOf(t), Reason: t.Reason, Sessions: t.Sessions, Handshakes: t.Handshakes,
		})
	}
	return all
}

func stateOf(t backend.Status) TargetState {
	switch {
	case t.Gone:
		return TargetGone
	case t.Draining:
		return TargetDraining
	case t.Up:
		return TargetUp
	}
	return TargetDown
}

// callAway lets the handshakes and the requests for pages that wait for a place at a target
// go on to others, after the target went down.
func (s *Server) callAway(t *backend.Target) {
	for _, l := range s.loops {
		l.post(func() { l.callAway(t) })
	}
}
