package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	p := paceOf(100, 50*time.Millisecond, start)
	count := func(now time.Time) (n int) {
		for p.due(now) {
			n++
		}
		return n
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
		why   string
	}{
		{0, 1, "the first is due at once"},
		{5 * time.Millisecond, 0, "the second only after 10 ms"},
		{25 * time.Millisecond, 2, "what was missed is made up for"},
		{time.Second, 2, "five in all"},
	} {
		if got := count(start.Add(tt.after)); got != tt.want {
			t.Errorf("after %v: %d due, want %d: %s", tt.after, got, tt.want, tt.why)
		}
	}
}
