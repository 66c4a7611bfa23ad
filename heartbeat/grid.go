package heartbeat

import "time"

// A Grid divides time into steps of one length, which is its value; 0 means no grid.
// All pings that are due within one step are sent in one wake-up, because a wake-up
// costs more than ten pings. They are sent half a step before the step begins, so a
// loop that is late by less than half a step sends no ping late. A ping is sent early
// by at least half a step and by less than one and a half.
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

// lead returns how long before a step begins its pings are sent.
func (g Grid) lead() Time { return Time(g) / 2 }

// begin returns the last multiple of the step that is not later than t.
func (g Grid) begin(t Time) Time { return t - t%Time(g) }

// Alarm returns when to wake up for a ping that is due at t. It is never negative.
func (g Grid) Alarm(t Time) Time {
	if g == 0 || t == Never {
		return t
	}
	return max(0, g.begin(t-g.lead()))
}

// Horizon returns the latest time whose Alarm is now or earlier. A ping that is due by
// then is sent at now.
func (g Grid) Horizon(now Time) Time {
	if g == 0 {
		return now
	}
	return g.begin(now) + Time(g) + g.lead() - 1
}
