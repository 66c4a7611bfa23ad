package heartbeat

import (
	"math"
	"time"
)

// Time is nanoseconds on the caller's monotonic clock. It is never negative. Another
// process can use a Time only if it reads the same clock, such as CLOCK_MONOTONIC.
type Time int64

// Never is later than every other Time. If it is the time at which something is due,
// then nothing is due.
const Never Time = math.MaxInt64

// Add returns t+d, or Never if t+d overflows.
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
