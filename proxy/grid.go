package proxy

import (
	"time"

	"holdfast/heartbeat"
)

// A grid divides time into steps. Pings that fall due within one step leave
// together, in one wake-up, which costs more than ten of them do, and in the step
// before it: so what delays the loop by less than a step delays no ping. A ping is
// early by one step at least, by less than two, and never late. 0 is no grid.
type grid heartbeat.Time

// gridFor returns the coarsest grid whose pings are early by less than a
// hundredth of the interval.
func gridFor(interval time.Duration) grid {
	for _, step := range []time.Duration{100, 50, 20, 10, 5, 2, 1} {
		if step *= time.Millisecond; 2*step <= interval/100 {
			return grid(step)
		}
	}
	return 0
}

// alarm is when to wake up for a ping that is due at t: no earlier than when the
// clock began.
func (g grid) alarm(t heartbeat.Time) heartbeat.Time {
	if g == 0 || t == heartbeat.Never {
		return t
	}
	return max(0, t-t%heartbeat.Time(g)-heartbeat.Time(g))
}

// horizon is up to when pings leave at now: the latest whose alarm has gone off.
func (g grid) horizon(now heartbeat.Time) heartbeat.Time {
	if g == 0 {
		return now
	}
	return now - now%heartbeat.Time(g) + 2*heartbeat.Time(g) - 1
}
