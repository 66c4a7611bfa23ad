package metrics

import (
	"slices"
	"testing"
	"time"
)

// A snapshot adds the counts of all loops up, and counts that come later do not change it.
func TestSnapshot(t *testing.T) {
	m := New("test")
	first, second := m.NewLoop(), m.NewLoop()
	for _, l := range []*Loop{first, second} {
		l.Opened()
		l.Opened()
		l.Closed(Upstream)
		l.Dropped(Client, PingTimeout)
		l.Handshake(ResultLimit)
		l.Received(Client, 3)
		l.Sent(Upstream, 4)
		l.PingSent(Client)
		l.Buffered(Client, 5)
		l.Paused(Upstream, 1)
	}
	second.RoundTrip(Client, time.Millisecond)
	second.RoundTrip(Client, 3*time.Millisecond)
	second.RoundTrip(Client, time.Hour)
	s := m.Snapshot()
	first.Opened()
	first.RoundTrip(Client, time.Millisecond)

	for _, tc := range []struct {
		name      string
		got, want int64
	}{
		{"opened", int64(s.Opened), 4},
		{"closed", int64(s.Legs[Upstream].Closed), 2},
		{"dropped", int64(s.Dropped[Client][PingTimeout]), 2},
		{"handshakes", int64(s.Handshakes[ResultLimit]), 2},
		{"received", int64(s.Legs[Client].Received), 6},
		{"received of the other side", int64(s.Legs[Upstream].Received), 0},
		{"sent", int64(s.Legs[Upstream].Sent), 8},
		{"pings", int64(s.Legs[Client].PingsSent), 2},
		{"buffered", s.Legs[Client].Buffered, 10},
		{"paused", s.Legs[Upstream].Paused, 2},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, tc.got, tc.want)
		}
	}
	trips, bounds := s.Legs[Client].RoundTrips, RoundTripBounds()
	if len(trips) != len(bounds)+1 {
		t.Fatalf("there are %d counts of round trips for %d bounds", len(trips), len(bounds))
	}
	for i, bound := range bounds {
		want := uint64(0)
		for _, took := range []float64{0.001, 0.003} {
			if took <= bound {
				want++
			}
		}
		if trips[i] != want {
			t.Errorf("%d round trips took at most %v s, want %d", trips[i], bound, want)
		}
	}
	if all := trips[len(bounds)]; all != 3 {
		t.Errorf("%d round trips in all, want 3", all)
	}
	if none := s.Legs[Upstream].RoundTrips; slices.Max(none) != 0 {
		t.Errorf("the other side has round trips: %v", none)
	}
}

// BenchmarkSnapshot is what one sample for the status page costs, with two loops.
func BenchmarkSnapshot(b *testing.B) {
	m := New("test")
	for range 2 {
		l := m.NewLoop()
		for i := range 10_000 {
			l.RoundTrip(Client, time.Duration(i)*10*time.Microsecond)
			l.RoundTrip(Upstream, time.Duration(i)*time.Microsecond)
		}
	}
	for b.Loop() {
		m.Snapshot()
	}
}
