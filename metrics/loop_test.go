package metrics

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/fixture"
)

// TestInvariant scrapes while two loops open and end sessions in every way.
func TestInvariant(t *testing.T) {
	m := fixture.Own(New("1.2.3"))
	var stop atomic.Bool
	var writers, scrapers sync.WaitGroup
	for range 2 {
		l := m.NewLoop()
		writers.Go(func() { churn(l, &stop) })
	}
	for range 2 {
		scrapers.Go(func() {
			for range 100 {
				checkSums(t, m)
			}
		})
	}
	scrapers.Wait()
	stop.Store(true)
	writers.Wait()

	if s := checkSums(t, m); s.active != 0 {
		t.Errorf("%v sessions are active after all have ended", s.active)
	}
}

// churn keeps one to three sessions open until it is told to stop.
func churn(l *Loop, stop *atomic.Bool) {
	l.Opened()
	for !stop.Load() {
		l.Opened()
		l.Opened()
		l.Closed(Client)
		l.Dropped(Upstream, EOF)
		l.Opened()
		l.Dropped(Proxy, Drain)
	}
	l.Closed(Upstream)
}

type sums struct{ opened, active, closed, dropped float64 }

// checkSums scrapes once and checks that the sessions add up.
func checkSums(t *testing.T, m *Metrics) sums {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Error(err)
	}
	var s sums
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			switch family.GetName() {
			case "holdfast_sessions_opened_total":
				s.opened += metric.GetCounter().GetValue()
			case "holdfast_sessions_active":
				s.active += metric.GetGauge().GetValue()
			case "holdfast_sessions_closed_total":
				s.closed += metric.GetCounter().GetValue()
			case "holdfast_sessions_dropped_total":
				s.dropped += metric.GetCounter().GetValue()
			}
		}
	}
	if s.opened != s.active+s.closed+s.dropped || s.active < 0 {
		t.Errorf("sessions do not add up: %+v", s)
	}
	return s
}

func TestIllegalDropIsOurFault(t *testing.T) {
	m := New("1.2.3")
	l := m.NewLoop()
	l.Opened()
	l.Dropped(Client, Drain)
	if got := l.dropped[Proxy][Internal].Load(); got != 1 {
		t.Errorf("internal drops are %d, want 1", got)
	}
	checkSums(t, m)
}

func TestNativeBuckets(t *testing.T) {
	m := New("1.2.3")
	l := m.NewLoop()
	var pongs uint64
	for d := time.Microsecond; d < time.Hour; d += d/100 + 1 {
		l.RoundTrip(Client, d) // a peer that answers at all times that it can think of
		pongs++
	}
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "holdfast_ping_rtt_seconds" {
			continue
		}
		h := family.GetMetric()[Client].GetHistogram()
		if n := len(h.GetPositiveDelta()); n == 0 || n > nativeBuckets {
			t.Errorf("there are %d native buckets, want 1 to %d", n, nativeBuckets)
		}
		if n := len(h.GetBucket()); n != len(rttBounds) {
			t.Errorf("there are %d classic buckets, want %d", n, len(rttBounds))
		}
		if count := h.GetSampleCount(); count != pongs {
			t.Errorf("%d of %d pongs are in the histogram", count, pongs)
		}
	}
}

// TestLoopsShareNoCacheLine holds wherever the allocator puts a Loop.
func TestLoopsShareNoCacheLine(t *testing.T) {
	var l Loop
	first, last := unsafe.Offsetof(l.legs), unsafe.Offsetof(l.handshakes)+unsafe.Sizeof(l.handshakes)
	if first < cacheLine || unsafe.Sizeof(l)-last < cacheLine {
		t.Errorf("the counts reach from byte %d to byte %d of %d", first, last, unsafe.Sizeof(l))
	}
}

func TestNoAllocations(t *testing.T) {
	l := New("1.2.3").NewLoop()
	allocs := testing.AllocsPerRun(100, func() {
		l.Opened()
		l.Received(Client, 100)
		l.Sent(Upstream, 100)
		l.Frames(Client, 0x1, 1)
		l.Buffered(Upstream, +100)
		l.Buffered(Upstream, -100)
		l.Paused(Client, +1)
		l.Paused(Client, -1)
		l.PingSent(Client)
		l.PingLag(time.Millisecond)
		l.PingAnswered(Client)
		l.CloseReceived(Client, 1000)
		l.Closed(Client)
		l.Dropped(Proxy, Drain)
		l.SessionDuration(time.Minute)
		l.Handshake(ResultOK)
		l.HandshakeDuration(Total, time.Millisecond)
	})
	if allocs != 0 {
		t.Errorf("counting allocates %v times", allocs)
	}
}

// BenchmarkFrame is what counting costs for each frame that is passed on.
func BenchmarkFrame(b *testing.B) {
	l := New("1.2.3").NewLoop()
	for b.Loop() {
		l.Received(Client, 100)
		l.Sent(Upstream, 100)
		l.Frames(Client, 0x1, 1)
	}
}

// BenchmarkFrameParallel is the same on as many loops as there are cores: it
// should take no longer.
func BenchmarkFrameParallel(b *testing.B) {
	m := New("1.2.3")
	b.RunParallel(func(pb *testing.PB) {
		l := m.NewLoop()
		for pb.Next() {
			l.Received(Client, 100)
			l.Sent(Upstream, 100)
			l.Frames(Client, 0x1, 1)
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	l := New("1.2.3").NewLoop()
	b.ReportAllocs()
	for b.Loop() {
		l.RoundTrip(Client, 40*time.Millisecond)
	}
}

// BenchmarkScrape shows that the cost of a scrape does not grow with the number of
// sessions: a scrape adds up the counts of the loops.
func BenchmarkScrape(b *testing.B) {
	for _, sessions := range []int{0, 10_000, 1_000_000} {
		b.Run(strconv.Itoa(sessions)+" sessions", func(b *testing.B) {
			m := New("1.2.3")
			for range 8 {
				l := m.NewLoop()
				for range sessions / 8 {
					l.Opened()
					l.PingSent(Client)
					l.RoundTrip(Client, 40*time.Millisecond)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Registry().Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestScrapeDoesNotGrow holds what BenchmarkScrape shows, without a clock.
func TestScrapeDoesNotGrow(t *testing.T) {
	scrape := func(sessions int) (series int, allocations float64) {
		m := New("1.2.3")
		l := m.NewLoop()
		for range sessions {
			l.Opened()
			l.Received(Client, 100)
			l.PingSent(Upstream)
			l.RoundTrip(Upstream, 40*time.Millisecond)
		}
		// The collectors of the Go runtime and of the process are left out: their cost is
		// that of the process.
		gather := func() { series = collected(collector{m}) }
		return series, testing.AllocsPerRun(20, gather)
	}
	fewSeries, few := scrape(1)
	manySeries, many := scrape(100_000)
	if fewSeries == 0 || manySeries != fewSeries || many > few {
		t.Errorf("a scrape of 100,000 sessions has %d series and %v allocations, of one session %d and %v",
			manySeries, many, fewSeries, few)
	}
}

// collected returns how many series a collector sends.
func collected(c prometheus.Collector) (series int) {
	ch := make(chan prometheus.Metric, 1000)
	c.Collect(ch)
	return len(ch)
}
