package probe

import (
	"testing"
	"testing/synctest"
	"time"
)

// Who waits for the probe is told what it waits for, once, if that takes long.
func TestWaits(t *testing.T) {
	for name, test := range map[string]struct {
		takes time.Duration
		want  int
	}{
		"at once":       {0, 0},
		"soon":          {quiet - 1, 0},
		"after a while": {10 * quiet, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				target := Target{Waits: func(step Step, limit time.Duration) {
					told++
					if step != Ping || limit != time.Minute {
						t.Errorf("told of step %d and %v", step, limit)
					}
				}}
				stop := target.waits(Ping, time.Minute)
				time.Sleep(test.takes)
				stop()
				if told != test.want {
					t.Errorf("told %d times, want %d", told, test.want)
				}
				time.Sleep(time.Hour)
				if told != test.want {
					t.Error("told after the end")
				}
			})
		})
	}
	(&Target{}).waits(Ping, time.Minute)() // nobody waits
}
