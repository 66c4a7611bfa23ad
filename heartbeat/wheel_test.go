package heartbeat

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

const tick = Time(1) << tickBits

// fired advances w and returns who fired, in order.
func fired(w *Wheel, now Time) []uint32 {
	var ids []uint32
	w.Advance(now, func(id uint32) { ids = append(ids, id) })
	return ids
}

func wantFired(t *testing.T, w *Wheel, now Time, want ...uint32) {
	t.Helper()
	if got := fired(w, now); !slices.Equal(got, want) {
		t.Errorf("advanced to %v: fired %v, want %v", time.Duration(now), got, want)
	}
}

func TestWheelFiresWithinATick(t *testing.T) {
	start := Time(time.Hour) + 12345
	for _, in := range []time.Duration{1, 4 * time.Millisecond, 20 * time.Second, 5 * time.Minute,
		20 * time.Hour, 300 * 24 * time.Hour, 200 * 365 * 24 * time.Hour} {
		w := NewWheel(start)
		at := start.Add(in)
		w.Set(7, at)
		wantFired(t, w, at-1)
		wantFired(t, w, at+tick-1, 7)
		wantFired(t, w, Never)
	}
}

func TestWheelNextLeadsToTheTimer(t *testing.T) {
	w := NewWheel(0)
	if got := w.Next(); got != Never {
		t.Errorf("next of an empty wheel is %v, want Never", got)
	}
	at := Time(100 * 24 * time.Hour)
	w.Set(1, at)
	for range levels {
		next := w.Next()
		if next > at+tick-1 {
			t.Fatalf("next is %v, after the timer at %v", next, at)
		}
		if len(fired(w, next)) == 1 {
			return
		}
	}
	t.Errorf("not fired after a wake-up for each of %d levels", levels)
}

func TestWheelTakesTheEndOfTime(t *testing.T) {
	w := NewWheel(0)
	w.Set(1, Never-1)
	wantFired(t, w, Never-tick)
	if got := w.Next(); got != Never {
		t.Errorf("next is %v, want Never", got)
	}
}

func TestWheelMovesAndDisarms(t *testing.T) {
	w := NewWheel(0)
	w.Cancel(3) // never heard of
	w.Set(0, 10*tick)
	w.Set(1, 10*tick)
	w.Set(2, 10*tick)
	w.Set(0, 300*tick)
	w.Set(1, Never)
	if got := w.Len(); got != 2 {
		t.Errorf("%d timers, want 2", got)
	}
	wantFired(t, w, 10*tick, 2)
	w.Cancel(2)
	wantFired(t, w, 299*tick)
	wantFired(t, w, 300*tick, 0)
	if got := w.Len(); got != 0 {
		t.Errorf("%d timers, want none", got)
	}
}

func TestWheelFireMaySetAndCancel(t *testing.T) {
	t.Run("its own id for now waits for the next Advance", func(t *testing.T) {
		w := NewWheel(0)
		w.Set(1, 5*tick)
		now := 5*tick + 1
		w.Advance(now, func(id uint32) { w.Set(id, now) })
		if got := w.Next(); got != now {
			t.Errorf("next is %d, want %d: overdue", got, now)
		}
		wantFired(t, w, now, 1)
	})
	t.Run("one that is about to fire", func(t *testing.T) {
		w := NewWheel(0)
		for id := range uint32(4) {
			w.Set(id, 5*tick)
		}
		var ids []uint32
		w.Advance(5*tick, func(id uint32) {
			ids = append(ids, id)
			w.Cancel(1)
			w.Set(2, 6*tick)
			w.Set(3, tick)
		})
		if !slices.Equal(ids, []uint32{0}) {
			t.Errorf("fired %v, want only 0: the others were cancelled or moved", ids)
		}
		wantFired(t, w, 5*tick, 3)
		wantFired(t, w, 6*tick, 2)
	})
	t.Run("a new one that makes the wheel grow", func(t *testing.T) {
		w := NewWheel(0)
		w.Set(0, tick)
		w.Set(1, tick)
		w.Advance(tick, func(id uint32) { w.Set(100_000+id, 2*tick) })
		wantFired(t, w, 2*tick, 100_000, 100_001)
	})
}

// A panic does not keep the timers behind it from firing.
func TestWheelFirePanics(t *testing.T) {
	w := NewWheel(0)
	for id := range uint32(4) {
		w.Set(id, 1)
	}
	const at = Time(1 << tickBits)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("there was no panic")
			}
		}()
		w.Advance(at, func(id uint32) {
			if id == 1 {
				panic("in a timer")
			}
		})
	}()
	if w.Next() != at || w.Len() != 2 {
		t.Errorf("%d timers are armed, the next for %v, want 2 and %v", w.Len(), w.Next(), at)
	}
	w.Cancel(2)
	wantFired(t, w, at, 3)
	if w.Next() != Never {
		t.Errorf("a timer is armed for %v", w.Next())
	}
}

func TestWheelIgnoresAClockThatWentBack(t *testing.T) {
	w := NewWheel(1000 * tick)
	w.Set(1, 1001*tick)
	wantFired(t, w, 0)
	w.Set(2, 999*tick)
	wantFired(t, w, 0, 2)
	wantFired(t, w, 1001*tick, 1)
}

func TestWheelShrinks(t *testing.T) {
	w := NewWheel(0)
	for id := range uint32(1000) {
		w.Set(id, Time(id)*tick)
	}
	w.Shrink(2000) // smaller already
	w.Shrink(10)
	if got, want := cap(w.nodes), firstID+10; w.Len() != 10 || got != want {
		t.Errorf("%d timers, %d nodes, want 10 and %d", w.Len(), got, want)
	}
	wantFired(t, w, 2000*tick, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	w.Set(999, 2001*tick)
	wantFired(t, w, 2001*tick, 999)
}

// A million sessions have a million of these.
func TestWheelNodesAreSmall(t *testing.T) {
	if got := unsafe.Sizeof(node{}); got > 16 {
		t.Errorf("a timer takes %d bytes, want at most 16", got)
	}
}

func TestWheelAllocatesNothing(t *testing.T) {
	w := NewWheel(0)
	now := Time(0)
	rearm := func(id uint32) { w.Set(id, now.Add(20*time.Second)) }
	for id := range uint32(1000) {
		rearm(id)
	}
	allocs := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		w.Set(uint32(now)%1000, now.Add(time.Minute))
		w.Advance(now, rearm)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a second, want none", allocs)
	}
}

func TestWheelIsItsModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		script := make([]byte, 3*random.IntN(300))
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		playWheel(t, script)
	}
}

// BenchmarkWheelSecond is the wheel's work in one second of a proxy with a million
// sessions, each pinged every 20 s: it wakes at every tick in which a timer is due,
// and each timer that fires is set anew.
func BenchmarkWheelSecond(b *testing.B) {
	const (
		timers   = 1_000_000
		interval = 20 * time.Second
	)
	for _, order := range []string{"in order", "at random"} {
		b.Run(order, func(b *testing.B) {
			now, count := Time(0), 0
			w := NewWheel(now)
			phases := rand.New(rand.NewPCG(1, 2))
			for id := range uint32(timers) {
				phase := time.Duration(id) * interval / timers
				if order == "at random" {
					phase = time.Duration(phases.Int64N(int64(interval)))
				}
				w.Set(id, now.Add(phase))
			}
			rearm := func(id uint32) {
				count++
				w.Set(id, now.Add(interval))
			}
			second := func() {
				for end := now.Add(time.Second); now < end; w.Advance(now, rearm) {
					now = min(w.Next(), end)
				}
			}
			for range 2 * interval / time.Second {
				second()
			}
			count = 0
			for b.Loop() {
				second()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(count), "ns/timer")
			b.ReportMetric(float64(cap(w.nodes))*float64(unsafe.Sizeof(node{}))/timers, "B/timer")
		})
	}
}
