package heartbeat

import "time"

// A Grid divides time into steps of one length. Pings that fall due within one
// step leave together, in one wake-up, which costs more than ten of them do, and
// half a step before it begins: so what delays the loop by less than that delays
// no ping. A ping is early by half a step at least and by less than one and a half.
// 0 is no grid.
type Grid Time

// GridFor returns the coarsest grid whose steps are a hundredth of the interval
// at the most.
func GridFor(interval time.Duration) Grid {
	for _, step := range []time.Duration{200, 100, 50, 20, 10, 5, 2, 1} {
		if step *= time.Millisecond; step <= interval/100 {
			return Grid(step)
		}
	}
	return 0
}

// lead is how long before its step a ping leaves.
func (g Grid) lead() Time { return Time(g) / 2 }

// begin is when the step began that t is in.
func (g Grid) begin(t Time) Time { return t - t%Time(g) }

// Alarm is when to wake up for a ping that is due at t: no earlier than when the
// clock began.
func (g Grid) Alarm(t Time) Time {
	if g == 0 || t == Never {
		return t
	}
	return max(0, g.begin(t-g.lead()))
}

// Horizon is up to when pings leave at now: the latest whose alarm has gone off.
func (g Grid) Horizon(now Time) Time {
	if g == 0 {
		return now
	}
	return g.begin(now) + Time(g) + g.lead() - 1
}
