package proxy

import (
	"time"

	"holdfast/heartbeat"
)

// A moment is a time in steps of 10 ms. It fits into four bytes, because a session has two
// of them. It starts again from 0 after 497 days, so two moments that are further apart
// than that cannot be told from two that are not.
type moment uint32

const momentStep = 10 * time.Millisecond

func momentOf(t heartbeat.Time) moment { return moment(t / heartbeat.Time(momentStep)) }

// hears records that bytes of a peer have come. It does nothing once the session ends.
func (s *session) hears(from Side, now heartbeat.Time) {
	if s.cause.kind == live {
		s.silence[from] = momentOf(now)
	}
}

// stopsSilences records how long each peer had been silent when the end of the session began. Few
// things name a middlebox as surely as its timeout.
func (s *session) stopsSilences(now heartbeat.Time) {
	for side, heard := range s.silence {
		s.silence[side] = momentOf(now) - heard
	}
}

// silent returns how long a peer had been silent when the end of the session began.
func (s *session) silent(side Side) time.Duration {
	return time.Duration(s.silence[side]) * momentStep
}
