package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A Snapshot is what all loops had counted at one moment. It costs some loads of each
// loop's counters, however many sessions there are.
type Snapshot struct {
	Opened     uint64
	Dropped    [sides][reasons]uint64 // by side and reason
	Handshakes [results]uint64        // by result
	Legs       [legs]LegSnapshot      // by side
}

// A LegSnapshot is what a Snapshot has for each side that has a leg.
type LegSnapshot struct {
	Closed         uint64 // sessions that ended by a close handshake that this side began
	Received, Sent uint64 // bytes
	PingsSent      uint64
	Buffered       int64 // bytes that wait to be sent to this side
	Paused         int64 // connections that are not read from

	// RoundTrips counts the round trips of pings that took at most as long as each of
	// RoundTripBounds. Its last element counts all of them.
	RoundTrips []uint64
}

// RoundTripBounds returns the bounds of holdfast_ping_rtt_seconds, in seconds.
func RoundTripBounds() []float64 { return slices.Clone(rttBounds) }

// Snapshot returns the present counts.
func (m *Metrics) Snapshot() (s Snapshot) {
	for _, l := range m.allLoops() {
		l.addTo(&s)
	}
	for side := range s.Legs {
		s.Legs[side].RoundTrips = m.durations.roundTrips(Side(side))
	}
	return s
}

// addTo adds the counts of one loop. Ends are read before openings, as scrape.sessions
// reads them.
func (l *Loop) addTo(s *Snapshot) {
	for side := range l.legs {
		from, to := &l.legs[side], &s.Legs[side]
		to.Closed += from.closed.Load()
		to.Received += from.received.Load()
		to.Sent += from.sent.Load()
		to.PingsSent += from.pingsSent.Load()
		to.Buffered += from.buffered.Load()
		to.Paused += from.paused.Load()
	}
	for side := range l.dropped {
		for reason := range l.dropped[side] {
			s.Dropped[side][reason] += l.dropped[side][reason].Load()
		}
	}
	for result := range l.handshakes {
		s.Handshakes[result] += l.handshakes[result].Load()
	}
	s.Opened += l.opened.Load()
}

// roundTrips returns how many round trips took at most as long as each of the bounds, and
// how many there were.
func (h *histograms) roundTrips(side Side) []uint64 {
	counts := make([]uint64, len(rttBounds)+1)
	var m dto.Metric
	if err := h.rtt[side].(prometheus.Metric).Write(&m); err != nil {
		return counts // a histogram without exemplars can always be written
	}
	for i, b := range m.GetHistogram().GetBucket() {
		counts[i] = b.GetCumulativeCount()
	}
	counts[len(rttBounds)] = m.GetHistogram().GetSampleCount()
	return counts
}
