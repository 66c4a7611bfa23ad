package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEventsComeInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var now time.Duration
	m := New(func() time.Duration { return now })
	var got, want []time.Duration
	run := func() {
		from := len(got)
		m.Run()
		if !slices.IsSorted(got[from:]) {
			t.Errorf("the events of one Run came as %v", got[from:])
		}
	}
	for range 2000 {
		at := time.Duration(rnd.IntN(300))
		want = append(want, at)
		m.schedule(at, func() { got = append(got, at) })
		if rnd.IntN(3) == 0 {
			if next, ok := m.Next(); ok && next >= now {
				now = next
			}
			run()
		}
	}
	now = 300
	run()
	slices.Sort(want)
	if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, want) {
		t.Errorf("%d events came, and %d were made", len(got), len(want))
	}
	if _, ok := m.Next(); ok {
		t.Error("an event is left")
	}
}

func TestEventsOfOneMomentKeepTheirOrder(t *testing.T) {
	m := New(func() time.Duration { return 0 })
	var got []int
	for i := range 100 {
		m.schedule(0, func() { got = append(got, i) })
	}
	m.Advance()
	if !slices.IsSorted(got) || len(got) != 100 {
		t.Errorf("events of one moment came as %v", got)
	}
}

func TestWorldDoesNothingInTheMiddleOfACall(t *testing.T) {
	m := New(func() time.Duration { return 0 })
	var got []string
	m.After(0, func() { got = append(got, "world") })
	m.schedule(0, func() { got = append(got, "network") })
	m.Advance()
	if len(got) != 0 {
		t.Errorf("a call has done %v", got)
	}
	m.Run()
	if !slices.Equal(got, []string{"world", "network"}) {
		t.Errorf("Run has done %v", got)
	}
}
