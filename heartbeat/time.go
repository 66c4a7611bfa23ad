package heartbeat

import (
	"math"
	"time"
)

// Time is nanoseconds on the caller's monotonic clock. It is never negative. A
// Time that is written down for another process means something there only if
// both read the same clock, such as CLOCK_MONOTONIC.
type Time int64

// Never is later than every other Time. As an instant at which something is due
// it means that nothing is.
const Never Time = math.MaxInt64

// Add returns t+d, or Never if that is too late to be said.
func (t Time) Add(d time.Duration) Time {
	if d > 0 && t > Never-Time(d) {
		return Never
	}
	return t + Time(d)
}

// Sub returns t−u.
func (t Time) Sub(u Time) time.Duration {
	return time.Duration(t - u)
}
