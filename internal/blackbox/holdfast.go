package blackbox

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// A Holdfast is the proxy as a process, and its admin listener.
type Holdfast struct {
	*Process
	Admin string // http://host:port

	scraper http.Client
}

// NewHoldfast is the proxy that p is. Dial reaches its admin listener; nil dials as
// any program does.
func NewHoldfast(p *Process, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Holdfast {
	return &Holdfast{
		Process: p,
		// No connection is left behind that would be counted among the proxy's descriptors.
		scraper: http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}, Timeout: p.Patience},
	}
}

// Lives asks /healthz.
func (h *Holdfast) Lives() bool { return h.says("/healthz") }

// IsReady asks /readyz, which wants the service to work.
func (h *Holdfast) IsReady() bool { return h.says("/readyz") }

// says reports whether the answer at a path is 200.
func (h *Holdfast) says(path string) bool {
	response, err := h.scraper.Get(h.Admin + path)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // it was read for
	return response.StatusCode == http.StatusOK
}

// Scrape returns what /metrics answers.
func (h *Holdfast) Scrape() Scrape {
	h.T.Helper()
	response, err := h.scraper.Get(h.Admin + "/metrics")
	if err != nil {
		h.T.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		h.T.Fatal(err)
	}
	return Scrape{h.T, body}
}

// Metric returns the value of a series, or the sum over all series of a family.
func (h *Holdfast) Metric(name string) float64 {
	h.T.Helper()
	return h.Scrape().Value(name)
}

// WantsMetric waits until a series has the value: what a peer sees and what is
// counted have no order that could be relied on.
func (h *Holdfast) WantsMetric(name string, want float64) {
	h.T.Helper()
	h.Until(fmt.Sprintf("%s %v", name, want), func() bool { return h.Metric(name) == want })
}

// WantsAtLeast is WantsMetric for what goes on rising.
func (h *Holdfast) WantsAtLeast(name string, want float64) {
	h.T.Helper()
	h.Until(fmt.Sprintf("%s ≥ %v", name, want), func() bool { return h.Metric(name) >= want })
}

// AccountsForAll wants each session to be active, closed or dropped, at every scrape.
func (h *Holdfast) AccountsForAll() {
	if h.HasEnded() {
		return
	}
	scrape := h.Scrape()
	opened := scrape.Value("holdfast_sessions_opened_total")
	rest := scrape.Value("holdfast_sessions_active") + scrape.Value("holdfast_sessions_closed_total") +
		scrape.Value("holdfast_sessions_dropped_total")
	if opened != rest {
		h.T.Errorf("%v sessions were opened, %v are active, closed or dropped", opened, rest)
	}
}

// Descriptors returns what the process has open.
func (h *Holdfast) Descriptors() (targets []string) {
	h.T.Helper()
	return descriptors(h.T, fmt.Sprintf("/proc/%d/fd", h.Cmd.Process.Pid))
}

func descriptors(t *testing.T, dir string) (targets []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		// One that is closed between the two looks is not open.
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			targets = append(targets, target)
		}
	}
	return targets
}
