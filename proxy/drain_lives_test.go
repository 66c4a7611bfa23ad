package proxy

import (
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
)

// The metric says that the server drains from the beginning of the Delay on.
func TestDrainIsShown(t *testing.T) {
	w := newInventedWorldBeside(t, nil, func(func()) {}) // the steps of the drain do not run
	for _, want := range []float64{0, 1} {
		if got, there := fixture.Counted(t, w.server.cfg.Metrics.Registry())["draining"]; got != want || !there {
			t.Errorf("the metric is %v (there: %v), want %v", got, there, want)
		}
		w.server.Drain(Stop{Delay: time.Hour})
	}
}

// A drain sends each session its Close at a moment of its own, evenly over the spread.
func TestDrainIsSpread(t *testing.T) {
	const sessions, spread, buckets = 500, 20 * time.Second, 10
	w := newInventedWorld(t, nil)
	type pair struct{ c, u *farPeer }
	var living []pair
	for range sessions {
		c, u := w.opens()
		living = append(living, pair{c, u})
	}
	w.l.drain(spread)
	told := make([]int, buckets)
	for bucket := range told {
		w.pass(spread / buckets)
		left := living[:0]
		for _, p := range living {
			frames := p.c.frames()
			if len(frames) == 0 {
				left = append(left, p)
				continue
			}
			told[bucket]++
			if last := frames[len(frames)-1]; last != wire.Close(1012, "proxy is shutting down") {
				t.Fatalf("a client is told %v", last)
			}
			p.c.sends(wire.Close(1012, ""))
			p.u.sends(wire.Close(1001, ""))
			p.c.hangsUp()
			p.u.hangsUp()
		}
		living = left
	}
	for bucket, n := range told {
		if n < sessions/buckets-2 || n > sessions/buckets+2 {
			t.Errorf("%d of %d sessions are told in the %d. of %d parts of the spread", n, sessions, bucket+1, buckets)
		}
	}
	w.over("sessions_dropped_total{drain,proxy}", sessions)
}

// While a drain is spread, the sessions that are not told yet go on, and end as they do
// otherwise.
func TestSessionsGoOnDuringTheSpread(t *testing.T) {
	w := newInventedWorld(t, func(c *Config) { c.MaxSessionDuration = 10 * time.Second })
	c, u := w.opens()
	w.l.drain(time.Hour)
	c.sends(wire.Text("still here"))
	u.wants("data", wire.Text("still here"))
	w.pass(12 * time.Second)
	c.sends(wire.Close(1012, ""))
	u.sends(wire.Close(1001, ""))
	c.hangsUp()
	u.hangsUp()
	w.over("sessions_dropped_total{max_duration,proxy}", 1)
}

// What a cut counts: sessions that lived, or whose close was not complete. Those whose
// peers have not answered in time are gone before, and are not counted.
func TestWhatACutCounts(t *testing.T) {
	w := newInventedWorld(t, nil)
	c, u := w.opens()
	w.l.drain(0)
	c.told()
	u.told() // and neither answers
	w.pass(11 * time.Second)
	if n := w.l.cutAll(); n != 0 {
		t.Errorf("%d sessions are counted as cut, and CLOSE_TIMEOUT has ended all", n)
	}

	w = newInventedWorld(t, nil)
	w.opens()
	c, _ = w.opens()
	c.sends(wire.Close(1000, "")) // half of a close handshake
	w.dials()                     // its handshake is not a session
	w.l.drain(time.Hour)
	if n := w.l.cutAll(); n != 2 {
		t.Errorf("%d sessions are counted as cut, want the living one and the one whose close is not complete", n)
	}
}
