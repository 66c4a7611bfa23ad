package proxy

import "strings"

// A TargetStatus is what is known about one target: one address of an upstream.
type TargetStatus struct {
	Upstream string // the upstream's name in the log and the metrics: scheme and authority
	Address  string // host:port, or the path of a socket
	State    TargetState
	Reason   string // why it is down; empty unless State is Down
	Sessions int    // that are open to it
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

// Targets returns the status of every target.
func (s *Server) Targets() []TargetStatus {
	only := s.pool.Pick(nil)
	status := TargetStatus{Upstream: only.Name(), Address: targetName(only.Name()), State: TargetUp, Sessions: s.Sessions()}
	switch {
	case s.unused.Load():
		status.State = TargetDraining
	case !only.Up():
		status.State = TargetDown
	}
	return []TargetStatus{status}
}

// matchTargets returns which sessions have a target with this name, and with this address
// if address is not empty. found is false if there is no such target.
func (s *Server) matchTargets(name, address string) (theirs func(*session) bool, found bool) {
	only := s.pool.Pick(nil)
	if own := targetName(only.Name()); name != own || address != "" && address != own {
		return nil, false
	}
	return func(s *session) bool { return s.backend == only }, true
}

// useTargets takes those targets out of use, or brings them back.
func (s *Server) useTargets(_, _ string, use bool) { s.unused.Store(!use) }

// outOfUse reports whether an operator has taken the session's target out of use.
func (l *loop) outOfUse(*session) bool { return l.server.unused.Load() }
