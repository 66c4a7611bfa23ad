package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// upstreams are the counters of the configured upstreams.
type upstreams struct {
	handshakes *prometheus.CounterVec // by upstream and result
	dropped    *prometheus.CounterVec // by upstream and reason
}

func newUpstreams(registry *prometheus.Registry) upstreams {
	u := upstreams{
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_upstream_handshakes_total",
			Help: "Attempts to open a session at this upstream, by result; a handshake that goes on to another address counts for each that it has tried.",
		}, []string{"upstream", "result"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_upstream_sessions_dropped_total",
			Help: "Sessions that were dropped with this upstream at fault, by reason.",
		}, []string{"upstream", "reason"}),
	}
	registry.MustRegister(u.handshakes, u.dropped)
	return u
}

// upstreamResults are the results that count for an upstream, with the values of the
// label result.
var upstreamResults = map[Result]string{
	ResultOK:                  "ok",
	ResultUpstreamUnreachable: "unreachable",
	ResultUpstreamRefused:     "refused",
	ResultUpstreamInvalid:     "invalid",
	ResultTimeout:             "timeout",
}

// UpstreamCounts are the counts of one upstream.
type UpstreamCounts struct {
	handshakes map[Result]prometheus.Counter
	dropped    [reasons]prometheus.Counter // nil if the reason is never an upstream's
}

// Upstream returns the counts of a configured upstream. They are the same for the same
// name. name is a label that every scraper sees, so it must not contain a secret.
func (m *Metrics) Upstream(name string) *UpstreamCounts {
	name = asLabel(name)
	u := &UpstreamCounts{handshakes: make(map[Result]prometheus.Counter)}
	for result, label := range upstreamResults {
		u.handshakes[result] = m.upstreams.handshakes.WithLabelValues(name, label)
	}
	for reason := range Reason(reasons) {
		if LegalDrop(Upstream, reason) {
			u.dropped[reason] = m.upstreams.dropped.WithLabelValues(name, reason.String())
		}
	}
	return u
}

// Handshake counts how an attempt to open a session at the upstream ended. A result that
// says nothing about the upstream is not counted.
func (u *UpstreamCounts) Handshake(result Result) {
	if counter := u.handshakes[result]; counter != nil {
		counter.Inc()
	}
}

// Dropped counts a session that was dropped with the upstream at fault.
func (u *UpstreamCounts) Dropped(reason Reason) {
	if counter := u.dropped[reason]; counter != nil {
		counter.Inc()
	}
}

// An Address is one address of an upstream, as the metrics show it. The names are labels
// that every scraper sees, so they must not contain a secret.
type Address struct {
	Upstream, Address string
	Up                bool // it works
	Draining          bool // an operator has taken it out of use
	Sessions          int  // that are open to it
}

var (
	upstreamUpDesc = describe("holdfast_upstream_up",
		"1 if this address of the upstream works, 0 if it is down: no check and no connection for a client has succeeded yet, or two checks or three such connections in a row have failed.",
		"upstream", "address")
	upstreamDrainingDesc = describe("holdfast_upstream_draining",
		"1 if an operator has taken this address of the upstream out of use, else 0.",
		"upstream", "address")
	upstreamSessionsDesc = describe("holdfast_upstream_sessions_active",
		"Sessions open now to this address of the upstream.",
		"upstream", "address")
)

// ShowAddresses makes every scrape ask list for the addresses that there are, instead of
// an earlier list.
func (m *Metrics) ShowAddresses(list func() []Address) { m.addresses.Store(&list) }

// addresses collects the gauges of the addresses that there are.
type addresses struct{ m *Metrics }

func (c addresses) Describe(ch chan<- *prometheus.Desc) {
	ch <- upstreamUpDesc
	ch <- upstreamDrainingDesc
	ch <- upstreamSessionsDesc
}

func (c addresses) Collect(ch chan<- prometheus.Metric) {
	list := c.m.addresses.Load()
	if list == nil {
		return
	}
	for _, a := range (*list)() {
		gauge := func(desc *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, asLabel(a.Upstream), asLabel(a.Address))
		}
		gauge(upstreamUpDesc, boolean(a.Up))
		gauge(upstreamDrainingDesc, boolean(a.Draining))
		gauge(upstreamSessionsDesc, float64(a.Sessions))
	}
}

// asLabel returns a configured name, which may be any bytes, as a label, which must be
// UTF-8.
func asLabel(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
