package heartbeat

import "time"

// Liveness says what proves a peer alive after it was pinged.
type Liveness uint8

const (
	AnyByte  Liveness = iota // any byte received from the peer; a pong of any payload answers a ping
	OnlyPong                 // only the pong that echoes the ping
)

// PongMode says whether a peer that does not answer pings is given up.
type PongMode uint8

const (
	RequirePong PongMode = iota // the deadline always holds
	LearnPong                   // the deadline holds once a ping has been answered
	IgnorePong                  // pings are sent and measured; there is no deadline
)

// Rules are the keepalive settings of one kind of leg, shared by all its
// sessions. A State must be given the same Rules throughout its life.
type Rules struct {
	// Interval is the time from one ping to the next. 0 means no pings at all.
	Interval time.Duration
	// Timeout is how long the answer to a ping may take. 0 means no deadline.
	Timeout time.Duration
	// Jitter, from 0 to 1, is the part of Interval by which the first ping may come early.
	Jitter float64
	// Liveness says what counts as an answer.
	Liveness Liveness
	// Pong says whether the deadline holds for a peer that never answers.
	Pong PongMode
}

// first returns the time from opening to the first ping: Interval, less the jitter that
// phase (0 to 1) selects.
func (r *Rules) first(phase float64) time.Duration {
	early := time.Duration(float64(r.Interval) * r.Jitter * phase)
	return r.Interval - min(max(early, 0), r.Interval)
}

// MessageWait returns how long a ping waits for the end of a message. RFC 6455, section
// 5.4, lets control frames in between the fragments of a message, but some peers lose the
// fragments before one.
func (r *Rules) MessageWait() time.Duration { return r.Interval / 4 }

// HasDeadline reports whether a ping sent now must be answered in time. armed says that
// the peer is known to answer pings; it matters to LearnPong only.
func (r *Rules) HasDeadline(armed bool) bool {
	return r.Timeout > 0 && (r.Pong == RequirePong || r.Pong == LearnPong && armed)
}
