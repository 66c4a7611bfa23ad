package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// upstreams are the instruments of the configured upstreams and their addresses.
type upstreams struct {
	up, draining, sessions *prometheus.GaugeVec   // by upstream and address
	handshakes             *prometheus.CounterVec // by upstream and result
	dropped                *prometheus.CounterVec // by upstream and reason
}

func newUpstreams(registry *prometheus.Registry) upstreams {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"upstream", "address"})
	}
	u := upstreams{
		up: gauge("holdfast_upstream_up",
			"1 if this address of the upstream works, 0 if it is down: no check and no connection for a client has succeeded yet, or two checks or three such connections in a row have failed."),
		draining: gauge("holdfast_upstream_draining",
			"1 if an operator has taken this address of the upstream out of use, else 0."),
		sessions: gauge("holdfast_upstream_sessions_active",
			"Sessions open now to this address of the upstream."),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_upstream_handshakes_total",
			Help: "Attempts to open a session at this upstream, by result; a handshake that goes on to another address counts for each that it has tried.",
		}, []string{"upstream", "result"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_upstream_sessions_dropped_total",
			Help: "Sessions that were dropped with this upstream at fault, by reason.",
		}, []string{"upstream", "reason"}),
	}
	registry.MustRegister(u.up, u.draining, u.sessions, u.handshakes, u.dropped)
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
	m          *Metrics
	name       string
	handshakes map[Result]prometheus.Counter
	dropped    [reasons]prometheus.Counter // nil if the reason is never an upstream's
}

// Upstream returns the counts of a configured upstream. They are the same for the same
// name. name is a label that every scraper sees, so it must not contain a secret.
func (m *Metrics) Upstream(name string) *UpstreamCounts {
	u := &UpstreamCounts{m: m, name: asLabel(name), handshakes: make(map[Result]prometheus.Counter)}
	for result, label := range upstreamResults {
		u.handshakes[result] = m.upstreams.handshakes.WithLabelValues(u.name, label)
	}
	for reason := range Reason(reasons) {
		if LegalDrop(Upstream, reason) {
			u.dropped[reason] = m.upstreams.dropped.WithLabelValues(u.name, reason.String())
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

// AddressGauges are the gauges of one address of an upstream.
type AddressGauges struct {
	m                      *Metrics
	labels                 [2]string
	up, draining, sessions prometheus.Gauge
}

// Address returns the gauges of an address. They are the same for the same address. An
// address counts as down until SetUp is called.
func (u *UpstreamCounts) Address(address string) *AddressGauges {
	labels := [2]string{u.name, asLabel(address)}
	return &AddressGauges{
		m:        u.m,
		labels:   labels,
		up:       u.m.upstreams.up.WithLabelValues(labels[:]...),
		draining: u.m.upstreams.draining.WithLabelValues(labels[:]...),
		sessions: u.m.upstreams.sessions.WithLabelValues(labels[:]...),
	}
}

// SetUp sets whether the address works.
func (a *AddressGauges) SetUp(up bool) { a.up.Set(boolean(up)) }

// SetDraining sets whether an operator has taken the address out of use.
func (a *AddressGauges) SetDraining(draining bool) { a.draining.Set(boolean(draining)) }

// Sessions changes the number of sessions open to the address.
func (a *AddressGauges) Sessions(delta int) { a.sessions.Add(float64(delta)) }

// Remove ends the series of an address that is not in use any more. The gauges must not be
// used afterwards.
func (a *AddressGauges) Remove() {
	a.m.upstreams.up.DeleteLabelValues(a.labels[:]...)
	a.m.upstreams.draining.DeleteLabelValues(a.labels[:]...)
	a.m.upstreams.sessions.DeleteLabelValues(a.labels[:]...)
}

// asLabel returns a configured name, which may be any bytes, as a label, which must be
// UTF-8.
func asLabel(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
