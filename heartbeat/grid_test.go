package heartbeat

import (
	"testing"
	"time"
)

func TestGridFor(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{
		time.Hour:              200 * time.Millisecond,
		20 * time.Second:       200 * time.Millisecond,
		19 * time.Second:       100 * time.Millisecond,
		time.Second:            10 * time.Millisecond,
		100 * time.Millisecond: time.Millisecond,
		99 * time.Millisecond:  0,
	} {
		if got := GridFor(interval); time.Duration(got) != want {
			t.Errorf("interval %v: steps of %v, want %v", interval, time.Duration(got), want)
		}
	}
}

// Whatever a ping is due at, it leaves when its alarm goes off, and not before.
func FuzzGrid(f *testing.F) {
	f.Add(uint32(20_000), uint64(123_456_789))
	f.Add(uint32(1), uint64(0))
	f.Add(uint32(20_000), uint64(4*99_999_999)) // within the clock's first step
	f.Fuzz(func(t *testing.T, milliseconds uint32, due uint64) {
		interval := time.Duration(milliseconds) * time.Millisecond
		g, at := GridFor(interval), Time(due>>2)
		alarm := g.Alarm(at)
		if early := at.Sub(alarm); early < 0 || early > interval/100*3/2 {
			t.Errorf("steps of %v: a ping due at %d has its alarm at %d", time.Duration(g), at, alarm)
		}
		if g.Horizon(alarm) < at {
			t.Errorf("steps of %v: a ping due at %d does not leave at its alarm, %d", time.Duration(g), at, alarm)
		}
		if g != 0 && alarm > 0 && g.Horizon(alarm-1) >= at {
			t.Errorf("steps of %v: a ping due at %d leaves before its alarm, %d", time.Duration(g), at, alarm)
		}
	})
}
