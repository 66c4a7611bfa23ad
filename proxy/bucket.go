package proxy

import (
	"math"
	"time"

	"holdfast/heartbeat"
)

// A bucket holds tokens, which stand for frames or bytes that may be read. They come at a
// steady rate, and the bucket holds at most as many as come in one second. What is read
// takes tokens. It may take more than there are: then the level is below zero, and the next
// tokens pay for that. So what is read over a long time keeps to the rate exactly. A bucket
// is plain data and never asks the time.
type bucket struct {
	rate  float64 // tokens a second, at least 1; 0 means that there are always enough
	level float64 // tokens at the time at
	at    heartbeat.Time
}

// newBucket returns a full bucket.
func newBucket(rate float64, now heartbeat.Time) bucket {
	return bucket{rate: rate, level: rate, at: now}
}

// fill adds the tokens that have come since the last call.
func (b *bucket) fill(now heartbeat.Time) {
	b.level = min(b.rate, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// take takes n tokens.
func (b *bucket) take(now heartbeat.Time, n int) {
	b.fill(now)
	b.level -= float64(n)
}

// whole returns how many whole tokens there are, at most limit.
func (b *bucket) whole(now heartbeat.Time, limit int) int {
	if b.rate == 0 {
		return limit
	}
	b.fill(now)
	const rounding = 1e-6 // a token that is missing by a rounding error is there
	return int(max(0, min(float64(limit), math.Floor(b.level+rounding))))
}

// wait returns how long it takes until there is a whole token, at most limit.
func (b *bucket) wait(now heartbeat.Time, limit time.Duration) time.Duration {
	if b.whole(now, 1) > 0 {
		return 0
	}
	missing := (1 - b.level) / b.rate * float64(time.Second)
	return time.Duration(min(float64(limit), math.Ceil(missing)))
}
