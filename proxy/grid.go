package proxy

import (
	"time"

	"holdfast/heartbeat"
)

// A grid divides time into steps of one length. Pings that fall due within one
// step leave together, in one wake-up, which costs more than ten of them do, and
// half a step before it begins: so what delays the loop by less than that delays
// no ping. A ping is early by half a step at least and by less than one and a half.
// 0 is no grid.
type grid heartbeat.Time

// gridFor returns the coarsest grid whose steps are a hundredth of the interval
// at the most.
func gridFor(interval time.Duration) grid {
	for _, step := range []time.Duration{200, 100, 50, 20, 10, 5, 2, 1} {
		if step *= time.Millisecond; step <= interval/100 {
			return grid(step)
		}
	}
	return 0
}

// lead is how long before its step a ping leaves.
func (g grid) lead() heartbeat.Time { return heartbeat.Time(g) / 2 }

// begin is when the step began that t is in.
func (g grid) begin(t heartbeat.Time) heartbeat.Time { return t - t%heartbeat.Time(g) }

// alarm is when to wake up for a ping that is due at t: no earlier than when the
// clock began.
func (g grid) alarm(t heartbeat.Time) heartbeat.Time {
	if g == 0 || t == heartbeat.Never {
		return t
	}
	return max(0, g.begin(t-g.lead()))
}

// horizon is up to when pings leave at now: the latest whose alarm has gone off.
func (g grid) horizon(now heartbeat.Time) heartbeat.Time {
	if g == 0 {
		return now
	}
	return g.begin(now) + heartbeat.Time(g) + g.lead() - 1
}
