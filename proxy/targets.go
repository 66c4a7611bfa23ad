package proxy

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

// Targets returns the status of every target.
func (s *Server) Targets() []TargetStatus { return nil }
