package heartbeat

import (
	"testing"
	"time"
)

func TestPingsAreDrawnToAGrid(t *testing.T) {
	for _, tc := range []struct {
		interval  time.Duration
		due, want Time
	}{
		{20 * time.Second, Time(20_199 * time.Millisecond), Time(20_000 * time.Millisecond)},
		{20 * time.Second, Time(20_200 * time.Millisecond), Time(20_200 * time.Millisecond)},
		{time.Hour, Time(time.Hour + 199*time.Millisecond), Time(time.Hour)}, // never by more than 200 ms
		{time.Second, Time(1_009 * time.Millisecond), Time(1_000 * time.Millisecond)},
		{99 * time.Millisecond, 123_456_789, 123_456_789}, // too short for any grid
		{20 * time.Second, Never, Never},
	} {
		r := Rules{Interval: tc.interval}
		if got := r.draw(tc.due); got != tc.want {
			t.Errorf("interval %v: a ping due at %d is drawn to %d, want %d", tc.interval, tc.due, got, tc.want)
		}
	}
}

// Two sessions that were opened within one step of the grid ping in one wake-up.
func TestGridJoinsSessions(t *testing.T) {
	r := Rules{Interval: 20 * time.Second}
	var a, b State
	a.Open(&r, Time(7*time.Millisecond), 0)
	b.Open(&r, Time(41*time.Millisecond), 0)
	if a.Next() != b.Next() {
		t.Errorf("pings are due at %d and %d, want the same", a.Next(), b.Next())
	}
}
