package metrics

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the instruments of one proxy, with a registry of their own.
// All methods may be called from any goroutine.
type Metrics struct {
	// static after construction
	registry          *prometheus.Registry
	created           time.Time // when all counters were 0
	durations         *histograms
	httpRequests      httpRequests
	sessionsLimit     prometheus.Gauge
	draining          prometheus.Gauge
	certificateExpiry prometheus.Gauge
	upstreams         upstreams

	addresses atomic.Pointer[func() []Address] // lists the addresses of upstreams; nil: there are none

	expiryOnce sync.Once // registers certificateExpiry

	underway       atomic.Pointer[func() int]    // returns the number of handshakes under way; nil: there are none
	lost           atomic.Pointer[func() uint64] // counts the log lines that were lost; nil: none are
	reloadFailures atomic.Uint64
	panics         atomic.Uint64

	mu    sync.Mutex
	loops []*Loop // guarded by mu; only ever appended to
}

// New returns the instruments of a program of that version, all at 0.
func New(version string) *Metrics {
	registry := prometheus.NewRegistry()
	m := &Metrics{
		registry:          registry,
		created:           time.Now(),
		durations:         newHistograms(registry),
		httpRequests:      newHTTPRequests(registry),
		certificateExpiry: newCertificateExpiry(),
		upstreams:         newUpstreams(registry),
		sessionsLimit: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_sessions_limit",
			Help: "How many sessions may be open at once, handshakes under way included; clients beyond it get 503.",
		}),
		draining: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_draining",
			Help: "1 while the proxy is shutting down and ending its sessions, else 0.",
		}),
	}
	registry.MustRegister(
		collector{m},
		addresses{m},
		m.sessionsLimit, m.draining,
		newBuildInfo(version),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// NewLoop returns the set of counts for one more event loop. Every later scrape reads
// it. So there should be one for each event loop, and one more for a goroutine that
// counts often, but not one for each session.
func (m *Metrics) NewLoop() *Loop {
	l := &Loop{durations: m.durations}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loops = append(m.loops, l)
	return l
}

// allLoops returns the loops that exist now. NewLoop does not change the result.
func (m *Metrics) allLoops() []*Loop {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loops
}

// Handler serves the metrics as text, OpenMetrics or protobuf, as the scraper asks.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Registry returns the registry that holds all instruments.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// SetSessionsLimit sets how many sessions may be open at once.
func (m *Metrics) SetSessionsLimit(n int) { m.sessionsLimit.Set(float64(n)) }

// CountHandshakesActive makes every scrape ask underway how many handshakes are under way.
func (m *Metrics) CountHandshakesActive(underway func() int) { m.underway.Store(&underway) }

func (m *Metrics) handshakesActive() int {
	if underway := m.underway.Load(); underway != nil {
		return (*underway)()
	}
	return 0
}

// CountLogLinesLost makes every scrape ask lost how many log lines have been lost.
func (m *Metrics) CountLogLinesLost(lost func() uint64) { m.lost.Store(&lost) }

func (m *Metrics) logLinesLost() uint64 {
	if lost := m.lost.Load(); lost != nil {
		return (*lost)()
	}
	return 0
}

// ReloadFailed counts changed TLS files that could not be used.
func (m *Metrics) ReloadFailed() { m.reloadFailures.Add(1) }

// CountPanic counts a panic that was caught.
func (m *Metrics) CountPanic() { m.panics.Add(1) }

// SetDraining sets whether the proxy is shutting down.
func (m *Metrics) SetDraining(draining bool) { m.draining.Set(boolean(draining)) }

func newBuildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_build_info",
		Help: "Always 1; the labels say what is running: its version, its Go release and the revision it was built from.",
		ConstLabels: prometheus.Labels{
			"version":   version,
			"goversion": runtime.Version(),
			"revision":  revision(),
		},
	})
	info.Set(1)
	return info
}

// revision returns the commit that the program was built from. It returns "unknown" if
// the build does not contain it.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
