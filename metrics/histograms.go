package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// histograms are shared by all loops, and so contended. Nothing on the path of a frame
// observes one. All are in seconds.
type histograms struct {
	session   prometheus.Observer
	handshake [stages]prometheus.Observer
	rtt       [legs]prometheus.Observer
	appRTT    [legs]prometheus.Observer
	lag       prometheus.Observer
}

// sessionBounds stand on both sides of the usual idle timeouts of middleboxes and load
// balancers, and never on one of them: docs/configuration.md lists what is known of such
// timeouts. A session that a timeout has cut lasted a little longer than the timeout. So
// the sessions that one timeout has cut fall into one narrow bucket.
var sessionBounds = seconds(
	time.Second, 5*time.Second, 15*time.Second,
	25*time.Second, 35*time.Second, // 30 s
	52*time.Second, 58*time.Second, // 55 s
	65*time.Second,                  // 60 s
	95*time.Second, 110*time.Second, // 100 s
	130*time.Second,                  // 2 min
	170*time.Second, 190*time.Second, // 3 min
	230*time.Second, 250*time.Second, // 4 min
	280*time.Second, 320*time.Second, // 5 min
	380*time.Second,                  // 350 s
	570*time.Second, 640*time.Second, // 10 min
	1700*time.Second, 1900*time.Second, // half an hour
	3500*time.Second, 3700*time.Second, // 1 h
	7100*time.Second, 7300*time.Second, // 2 h
	5*time.Hour, 13*time.Hour, 25*time.Hour, 73*time.Hour, 170*time.Hour,
)

// handshakeBounds reach from an upstream on the same machine to the default of
// HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT.
var handshakeBounds = seconds(
	time.Millisecond, 2*time.Millisecond, 5*time.Millisecond,
	10*time.Millisecond, 20*time.Millisecond, 50*time.Millisecond,
	100*time.Millisecond, 200*time.Millisecond, 500*time.Millisecond,
	time.Second, 2*time.Second, 5*time.Second,
	10*time.Second, 20*time.Second, 30*time.Second, time.Minute,
)

// rttBounds reach from a local network to the default of HOLDFAST_PING_TIMEOUT.
var rttBounds = seconds(
	500*time.Microsecond, time.Millisecond, 2*time.Millisecond, 5*time.Millisecond,
	10*time.Millisecond, 20*time.Millisecond, 50*time.Millisecond,
	100*time.Millisecond, 200*time.Millisecond, 500*time.Millisecond,
	time.Second, 2*time.Second, 5*time.Second, 10*time.Second, 20*time.Second,
)

// lagBounds reach from an idle loop to one that is so late that peers may miss deadlines.
// A quantile is never above the last bound, so an alert needs a bound beyond its limit.
var lagBounds = seconds(
	100*time.Microsecond, 200*time.Microsecond, 500*time.Microsecond,
	time.Millisecond, 2*time.Millisecond, 5*time.Millisecond,
	10*time.Millisecond, 20*time.Millisecond, 50*time.Millisecond,
	100*time.Millisecond, 200*time.Millisecond, 500*time.Millisecond,
	time.Second, 2*time.Second, 5*time.Second, 10*time.Second,
)

const (
	// nativeFactor is the growth from one native bucket to the next: the customary
	// value, which gives each doubling eight buckets.
	nativeFactor = 1.1
	// nativeBuckets bounds the native buckets of one series: twenty doublings, from
	// 20 µs to 20 s. Peers decide when their pongs arrive, so a histogram that needs
	// more becomes coarser and not larger. NativeHistogramMinResetDuration would make
	// it finer again, but would also reset its classic buckets.
	nativeBuckets = 160
)

// newHistograms registers the histograms, each with all its series.
func newHistograms(registry *prometheus.Registry) *histograms {
	session := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "holdfast_session_duration_seconds",
		Help:    "How long the sessions lasted that have ended, in seconds.",
		Buckets: sessionBounds,
	})
	handshake := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "holdfast_handshake_duration_seconds",
		Help: "How long opening handshakes took, in seconds: dialing the upstream (dial), " +
			"waiting for its answer (upgrade), and all of it as the client sees it (total).",
		Buckets: handshakeBounds,
	}, []string{"stage"})
	rtt := newRoundTrips("holdfast_ping_rtt_seconds",
		"Round trips of the proxy's own pings, from ping sent to pong received, in seconds.")
	appRTT := newRoundTrips("holdfast_app_ping_rtt_seconds",
		"Round trips of the proxy's own application heartbeats, from message sent to answer received, in seconds.")
	lag := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "holdfast_ping_lag_seconds",
		Help:    "How late the proxy's own pings and application heartbeats left, from due to sent, in seconds. Rises when the proxy is overloaded.",
		Buckets: lagBounds,
	})
	registry.MustRegister(session, handshake, rtt, appRTT, lag)

	h := &histograms{session: session, lag: lag}
	for stage := range Stage(stages) {
		h.handshake[stage] = handshake.WithLabelValues(stage.String())
	}
	for side := range Side(legs) {
		h.rtt[side] = rtt.WithLabelValues(side.String())
		h.appRTT[side] = appRTT.WithLabelValues(side.String())
	}
	return h
}

// newRoundTrips returns a histogram of round trips, by side.
func newRoundTrips(name, help string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                           name,
		Help:                           help,
		Buckets:                        rttBounds,
		NativeHistogramBucketFactor:    nativeFactor,
		NativeHistogramMaxBucketNumber: nativeBuckets,
	}, []string{"side"})
}

// observe adds d to a histogram. A negative d (of a ping sent before it was due) counts
// as 0, because the sum of a histogram must never fall.
func observe(o prometheus.Observer, d time.Duration) { o.Observe(max(d, 0).Seconds()) }

func seconds(bounds ...time.Duration) []float64 {
	s := make([]float64, len(bounds))
	for i, d := range bounds {
		s[i] = d.Seconds()
	}
	return s
}
