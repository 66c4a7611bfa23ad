package proxy

import (
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/heartbeat"
)

func TestBucket(t *testing.T) {
	type step struct {
		after time.Duration
		take  int
		whole int           // afterwards
		wait  time.Duration // afterwards
	}
	const most = time.Second
	for _, test := range []struct {
		name  string
		rate  float64
		steps []step
	}{
		{"one second's worth at once", 50, []step{{0, 0, 50, 0}, {0, 49, 1, 0}, {0, 1, 0, 20 * time.Millisecond}}},
		{"a token comes", 50, []step{{0, 50, 0, 20 * time.Millisecond}, {19 * time.Millisecond, 0, 0, time.Millisecond}, {time.Millisecond, 0, 1, 0}}},
		{"never more than that", 50, []step{{time.Hour, 0, 50, 0}, {0, 50, 0, 20 * time.Millisecond}}},
		{"more is taken than there is", 50, []step{{0, 60, 0, 220 * time.Millisecond}, {200 * time.Millisecond, 0, 0, 20 * time.Millisecond}, {20 * time.Millisecond, 0, 1, 0}}},
		{"no wait is longer than the limit", 50, []step{{0, 1000, 0, most}, {18 * time.Second, 0, 0, most}, {time.Second, 0, 0, 20 * time.Millisecond}}},
		{"the slowest", 1, []step{{0, 0, 1, 0}, {0, 1, 0, time.Second}, {time.Second, 0, 1, 0}}},
		{"a rate that is not whole", 2.5, []step{{0, 0, 2, 0}, {0, 2, 0, 200 * time.Millisecond}, {200 * time.Millisecond, 1, 0, 400 * time.Millisecond}}},
		{"a token that a rounding error would miss", 3, []step{{0, 3, 0, 333333334}, {333333334, 0, 1, 0}}},
		{"no rate", 0, []step{{0, 1 << 40, 100, 0}, {time.Second, 1 << 40, 100, 0}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := heartbeat.Time(time.Hour)
			b := newBucket(test.rate, now)
			for i, s := range test.steps {
				now = now.Add(s.after)
				b.take(now, s.take)
				if whole, wait := b.whole(now, 100), b.wait(now, most); whole != s.whole || (wait-s.wait).Abs() > time.Nanosecond {
					t.Errorf("step %d: %d whole tokens, wait %v; want %d, %v", i+1, whole, wait, s.whole, s.wait)
				}
			}
			if test.rate > 0 && b.whole(now, 0) != 0 {
				t.Error("more whole tokens than the limit")
			}
		})
	}
}

// A reader that takes what is there, and waits when there is nothing, gets the rate and one
// second's worth.
func TestBucketKeepsItsRate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, rate := range []float64{1, 1.5, 7, 50, 1000, 1 << 20} {
		began := heartbeat.Time(time.Hour)
		now, taken := began, 0
		b := newBucket(rate, now)
		for range 2000 {
			n := b.whole(now, 1<<20)
			if random.IntN(10) == 0 {
				n += random.IntN(int(rate) + 1) // more than there is
			}
			b.take(now, n)
			taken += n
			wait := b.wait(now, time.Hour)
			if wait == 0 {
				t.Fatalf("rate %v: there are tokens after all were taken", rate)
			}
			now = now.Add(wait)
		}
		most := rate * (1 + now.Sub(began).Seconds())
		if float64(taken) > most || float64(taken) < most-2*rate-1 {
			t.Errorf("rate %v: %d in %v, want about %.0f", rate, taken, now.Sub(began), most)
		}
	}
}
