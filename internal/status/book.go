package status

import (
	"sync"
	"time"

	"holdfast/metrics"
	"holdfast/proxy"
)

// A Book keeps what has happened in a process. Any goroutine may use it.
type Book struct {
	// static
	version string
	started time.Time
	counts  func() metrics.Snapshot
	bounds  []float64 // of round trips, in seconds

	ring ring

	mu     sync.Mutex
	window window // guarded by mu; never empty
}

// New returns the Book of a process that starts now, with its first sample. counts returns
// what has been counted.
func New(version string, counts func() metrics.Snapshot, now time.Time) *Book {
	b := &Book{version: version, started: now, counts: counts, bounds: metrics.RoundTripBounds()}
	b.Sample(now)
	return b
}

// Sample takes note of the present counts.
func (b *Book) Sample(now time.Time) {
	s := sample{now, b.counts()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.window.add(s)
}

// Ended takes note of the end of a session. It never waits for long.
func (b *Book) Ended(now time.Time, e *proxy.Ended) { b.ring.add(now, e) }

// Ends returns the last ends, the newest first, and at most so many.
func (b *Book) Ends(most int) []End {
	ends, _ := b.ring.since(0, most)
	all := make([]End, len(ends)) // never nil, which JSON would call null
	for i := range ends {
		all[len(ends)-1-i] = endOf(ends[i].at, &ends[i].end)
	}
	return all
}

// Next returns the number of the next end, for EndsSince.
func (b *Book) Next() uint64 {
	_, next := b.ring.since(0, 0)
	return next
}

// EndsSince returns the ends from a number on, in the order in which they came, and at most
// so many of the newest. skipped is how many are left out. next is the number of the next
// one.
func (b *Book) EndsSince(n uint64, most int) (all []End, skipped, next uint64) {
	ends, next := b.ring.since(n, most)
	for i := range ends {
		all = append(all, endOf(ends[i].at, &ends[i].end))
	}
	return all, next - n - uint64(len(ends)), next
}

// Status returns what the Book knows. What is to be said of the present moment beside the
// counts is left to the caller: the fields from Ready to Handshakes, Upstreams and May.
func (b *Book) Status(now time.Time) Status {
	counts := b.counts()
	b.mu.Lock()
	begin, before := b.window.begin(now), b.window.before(now)
	b.mu.Unlock()
	s := Status{
		Version: b.version,
		Started: b.started.UTC(),
		Uptime:  now.Sub(b.started).Seconds(),
	}
	in := since(begin.counts, counts)
	span := now.Sub(before.at).Seconds()
	recent := since(before.counts, counts)
	for side, leg := range []*Leg{&s.Legs.Client, &s.Legs.Upstream} {
		*leg = Leg{
			RTT:           rtt(in.Legs[side].RoundTrips, b.bounds),
			ReceivedRate:  rate(recent.Legs[side].Received, span),
			SentRate:      rate(recent.Legs[side].Sent, span),
			PingsSentRate: rate(recent.Legs[side].PingsSent, span),
			BufferedBytes: max(0, counts.Legs[side].Buffered),
			ReadsPaused:   max(0, counts.Legs[side].Paused),
		}
	}
	s.Ends = ends(&in)
	s.HandshakeResults = results(&in)
	return s
}

func rate(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// ends returns what has ended.
func ends(in *metrics.Snapshot) Ends {
	e := Ends{Window: Window.Seconds(), Opened: in.Opened, Closed: []Closed{}, Dropped: []Dropped{}}
	for side := range in.Legs {
		if n := in.Legs[side].Closed; n > 0 {
			e.Closed = append(e.Closed, Closed{metrics.Side(side).String(), n})
		}
	}
	for side := range in.Dropped {
		for reason, n := range in.Dropped[side] {
			if n > 0 {
				e.Dropped = append(e.Dropped, Dropped{metrics.Side(side).String(), metrics.Reason(reason).String(), n})
			}
		}
	}
	return e
}

// results returns how many handshakes have ended with each result.
func results(in *metrics.Snapshot) Results {
	r := Results{Window: Window.Seconds(), Results: make(map[string]uint64, len(in.Handshakes))}
	for result, n := range in.Handshakes {
		r.Results[metrics.Result(result).String()] = n
	}
	return r
}
