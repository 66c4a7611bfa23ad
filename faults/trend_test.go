//go:build faults

package faults

import (
	"time"
)

// A trend is what a proxy holds, over time.
type trend struct {
	proxy  *holdfast
	coming int // clients that come and go: each has two descriptors, or none
	began  time.Time
	looks  []look
}

// A look is what the proxy held at one moment.
type look struct {
	at     time.Duration
	values [len(held)]float64
}

// held are the things that must not grow, and by how much each may, beside a tenth of its
// mean: the heap holds garbage, and the runtime keeps threads and goroutines.
var held = [...]struct {
	name  string
	value func(*holdfast) float64
	slack float64
}{
	{"descriptors", func(h *holdfast) float64 { return float64(len(h.Descriptors())) }, 0},
	{"heap bytes", func(h *holdfast) float64 { return h.Metric("go_memstats_heap_inuse_bytes") }, 16 << 20},
	{"resident bytes", func(h *holdfast) float64 { return float64(h.memory()) }, soakMemory},
	{"goroutines", func(h *holdfast) float64 { return h.Metric("go_goroutines") }, 32},
}

// watches begins a trend of the proxy, while so many clients come and go.
func (h *holdfast) watches(coming int) *trend {
	return &trend{proxy: h, coming: coming, began: time.Now()}
}

// look remembers what the proxy holds now, and tells it.
func (tr *trend) look() {
	tr.proxy.T.Helper()
	l := look{at: time.Since(tr.began)}
	for i, h := range held {
		l.values[i] = h.value(tr.proxy)
	}
	tr.looks = append(tr.looks, l)
	tr.proxy.T.Logf("%v: %.0f sessions, %.0f descriptors, heap %.1f MiB, resident %.1f MiB, %.0f goroutines",
		l.at.Round(time.Second), tr.proxy.Metric("holdfast_sessions_active"), l.values[0], l.values[1]/(1<<20), l.values[2]/(1<<20), l.values[3])
}

// wantsFlat tells the slope of each thing, and wants none to have grown.
func (tr *trend) wantsFlat() {
	t := tr.proxy.T
	t.Helper()
	if len(tr.looks) < 3 {
		t.Logf("%d looks have no slope", len(tr.looks))
		return
	}
	length := (tr.looks[len(tr.looks)-1].at - tr.looks[0].at).Minutes()
	for i, h := range held {
		mean, slope := tr.line(i)
		grown := slope * length
		t.Logf("%s: %.1f on average, %+.2f a minute", h.name, mean, slope)
		slack := h.slack + mean/10
		if i == 0 {
			slack += 2 * float64(tr.coming)
		}
		if grown > slack {
			t.Errorf("%s have grown by %.0f in %.1f minutes", h.name, grown, length)
		}
	}
}

// line returns the mean of the values, and the slope of the line nearest to them, for each
// minute.
func (tr *trend) line(i int) (mean, slope float64) {
	var at float64
	for _, l := range tr.looks {
		at += l.at.Minutes()
		mean += l.values[i]
	}
	n := float64(len(tr.looks))
	at, mean = at/n, mean/n
	var covariance, variance float64
	for _, l := range tr.looks {
		covariance += (l.at.Minutes() - at) * (l.values[i] - mean)
		variance += (l.at.Minutes() - at) * (l.at.Minutes() - at)
	}
	return mean, covariance / variance
}
