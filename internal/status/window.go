package status

import (
	"time"

	"holdfast/metrics"
)

// Window is how far back the counts of a Status reach.
const Window = 15 * time.Minute

// SampleEvery is how often the counts are sampled.
const SampleEvery = 5 * time.Second

// rateSpan is over how much time a rate is taken at least, once there is so much.
const rateSpan = SampleEvery / 2

// A sample is what was counted at one moment.
type sample struct {
	at     time.Time
	counts metrics.Snapshot
}

// A window keeps the samples of the last Window, and one that is older: what was counted
// since that one was counted in the Window.
type window []sample

// add adds a sample and drops those that are not needed any more.
func (w *window) add(s sample) {
	all, old := append(*w, s), 0
	for old+1 < len(all) && s.at.Sub(all[old+1].at) >= Window {
		old++
	}
	kept := copy(all, all[old:])
	clear(all[kept:])
	*w = all[:kept]
}

// begin returns the sample at the beginning of the window.
func (w window) begin(now time.Time) sample {
	first := w[0]
	for _, s := range w[1:] {
		if now.Sub(s.at) < Window {
			break
		}
		first = s
	}
	return first
}

// before returns the newest sample with which rates can be taken.
func (w window) before(now time.Time) sample {
	for i := len(w) - 1; i > 0; i-- {
		if now.Sub(w[i].at) >= rateSpan {
			return w[i]
		}
	}
	return w[0]
}

// since returns what was counted from one snapshot to a later one. Gauges stay as they are.
func since(from, to metrics.Snapshot) metrics.Snapshot {
	to.Opened -= from.Opened
	for side := range to.Dropped {
		for reason := range to.Dropped[side] {
			to.Dropped[side][reason] -= from.Dropped[side][reason]
		}
	}
	for result := range to.Handshakes {
		to.Handshakes[result] -= from.Handshakes[result]
	}
	for side := range to.Legs {
		f, t := &from.Legs[side], &to.Legs[side]
		t.Closed -= f.Closed
		t.Received -= f.Received
		t.Sent -= f.Sent
		t.PingsSent -= f.PingsSent
		trips := make([]uint64, len(t.RoundTrips)) // the snapshot keeps its own
		for i := range trips {
			trips[i] = t.RoundTrips[i] - f.RoundTrips[i]
		}
		t.RoundTrips = trips
	}
	return to
}

// rtt returns the distribution of round trips. counts are as in metrics.LegSnapshot, and
// bounds are in seconds.
func rtt(counts []uint64, bounds []float64) RTT {
	all := counts[len(bounds)]
	r := RTT{
		Count: all,
		P50:   quantile(0.5, counts, bounds),
		P90:   quantile(0.9, counts, bounds),
		P99:   quantile(0.99, counts, bounds),
	}
	for i, bound := range bounds {
		r.Buckets = append(r.Buckets, Bucket{new(bound * 1000), counts[i]})
	}
	r.Buckets = append(r.Buckets, Bucket{nil, all})
	return r
}

// quantile returns the round trip that a share q of all does not exceed, in ms, as
// Prometheus' histogram_quantile does: it takes those of a bucket for evenly spread.
func quantile(q float64, counts []uint64, bounds []float64) *float64 {
	all := counts[len(bounds)]
	if all == 0 {
		return nil
	}
	rank, below, from := q*float64(all), 0.0, 0.0
	for i, bound := range bounds {
		upTo := float64(counts[i])
		if upTo >= rank && upTo > below {
			return new(1000 * (from + (bound-from)*(rank-below)/(upTo-below)))
		}
		below, from = upTo, bound
	}
	return new(1000 * from)
}
