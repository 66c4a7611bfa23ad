//go:build faults

package faults

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	proxyListen    = proxyAddress + ":8080"
	adminListen    = "127.0.0.1:8081"
	upstreamListen = upstreamAddress + ":9000"
)

// A holdfast is the proxy under test.
type holdfast struct {
	*process
	scraper http.Client
}

// startHoldfast runs the proxy in the middle of a network. Of two settings of the
// same name the last one holds.
func startHoldfast(t *testing.T, n *network, settings ...string) *holdfast {
	t.Helper()
	cmd := n.proxy.command(binary)
	cmd.Env = append([]string{
		"HOLDFAST_UPSTREAM=ws://" + upstreamListen,
		"HOLDFAST_LISTEN=" + proxyListen,
		"HOLDFAST_ADMIN_LISTEN=" + adminListen,
		"HOLDFAST_UPSTREAM_PONG=require",
		"HOLDFAST_LOG_FORMAT=json",
	}, settings...)
	h := &holdfast{process: start(t, "holdfast", cmd)}
	// No connection is left behind that would be counted among the proxy's descriptors.
	h.scraper = http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: n.proxy.dial},
		Timeout:   patience,
	}
	h.until("it is ready", h.isReady)
	t.Cleanup(h.accountsForAll)
	return h
}

func (h *holdfast) isReady() bool {
	response, err := h.scraper.Get("http://" + adminListen + "/readyz")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// scrape returns what /metrics answers.
func (h *holdfast) scrape() []byte {
	h.t.Helper()
	response, err := h.scraper.Get("http://" + adminListen + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return body
}

// metric returns the value of a series, or the sum over all series of a family.
func (h *holdfast) metric(name string) float64 {
	h.t.Helper()
	return valueOf(h.t, h.scrape(), name)
}

func valueOf(t *testing.T, scrape []byte, name string) (sum float64) {
	t.Helper()
	found := false
	for line := range bytes.Lines(scrape) {
		series, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		family, _, _ := strings.Cut(series, "{")
		if series != name && family != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
		found = true
	}
	if !found {
		t.Fatalf("no series %s", name)
	}
	return sum
}

func (h *holdfast) wantsMetric(name string, want float64) {
	h.t.Helper()
	h.until(fmt.Sprintf("%s %v", name, want), func() bool { return h.metric(name) == want })
}

// wantsNoneDropped fails the test at once if a session was dropped.
func (h *holdfast) wantsNoneDropped() {
	h.t.Helper()
	scrape := h.scrape()
	if n := valueOf(h.t, scrape, "holdfast_sessions_dropped_total"); n != 0 {
		h.t.Errorf("%v sessions were dropped, want none:\n%s", n, drops(scrape))
	}
}

// drops lists the series of dropped sessions that are not zero.
func drops(scrape []byte) string {
	var lines strings.Builder
	for line := range strings.Lines(string(scrape)) {
		if strings.HasPrefix(line, "holdfast_sessions_dropped_total{") && !strings.HasSuffix(line, " 0\n") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

func dropped(side, reason string) string {
	return fmt.Sprintf(`holdfast_sessions_dropped_total{reason=%q,side=%q}`, reason, side)
}

func closed(side string) string {
	return fmt.Sprintf(`holdfast_sessions_closed_total{side=%q}`, side)
}

func ofSide(family, side string) string { return fmt.Sprintf(`%s{side=%q}`, family, side) }

// accountsForAll wants each session to be active, closed or dropped.
func (h *holdfast) accountsForAll() {
	select {
	case <-h.ended:
		return
	default:
	}
	scrape := h.scrape()
	value := func(name string) float64 { return valueOf(h.t, scrape, name) }
	opened := value("holdfast_sessions_opened_total")
	rest := value("holdfast_sessions_active") + value("holdfast_sessions_closed_total") + value("holdfast_sessions_dropped_total")
	if opened != rest {
		h.t.Errorf("%v sessions were opened, %v are active, closed or dropped", opened, rest)
	}
}

// cpu returns the time that the process has used, user and kernel.
func (h *holdfast) cpu() time.Duration {
	h.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	// The name, in parentheses, may hold spaces. utime and stime are the 12th and 13th after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		h.t.Fatalf("%s: %v, %v", stat, err1, err2)
	}
	return time.Duration(user+system) * time.Second / 100 // USER_HZ is 100 everywhere
}

// descriptors returns how many the process has open.
func (h *holdfast) descriptors() int {
	h.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	return len(entries)
}

// memory returns the bytes of the process's own that are in memory.
func (h *holdfast) memory() int {
	h.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	var kilobytes int
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		h.t.Fatalf("RssAnon: %v", err)
	}
	return kilobytes << 10
}
