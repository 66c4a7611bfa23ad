//go:build faults

package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

const (
	proxyListen    = proxyAddress + ":8080"
	adminListen    = "127.0.0.1:8081"
	upstreamListen = upstreamAddress + ":9000"
)

// A holdfast is the proxy under test.
type holdfast struct {
	*blackbox.Holdfast
}

// startHoldfast runs the proxy in the middle of a network. Of two settings of the
// same name the last one holds.
func startHoldfast(t *testing.T, n *network, settings ...string) *holdfast {
	t.Helper()
	return startHoldfastAs(t, n, n.proxy.command(binary), settings...)
}

// startHoldfastAs is startHoldfast with a command that becomes the proxy.
func startHoldfastAs(t *testing.T, n *network, cmd *exec.Cmd, settings ...string) *holdfast {
	t.Helper()
	cmd.Env = append([]string{
		"HOLDFAST_UPSTREAM=ws://" + upstreamListen,
		"HOLDFAST_LISTEN=" + proxyListen,
		"HOLDFAST_ADMIN_LISTEN=" + adminListen,
		"HOLDFAST_UPSTREAM_PONG=require",
		"HOLDFAST_LOG_FORMAT=json",
	}, settings...)
	h := &holdfast{blackbox.NewHoldfast(start(t, "holdfast", cmd), n.proxy.dial)}
	h.Admin = "http://" + adminListen
	h.Until("it runs", h.Lives) // its service may come later
	t.Cleanup(h.AccountsForAll)
	return h
}

// wantsNoneDropped fails the test at once if a session was dropped.
func (h *holdfast) wantsNoneDropped() {
	h.T.Helper()
	scrape := h.Scrape()
	if n := scrape.Value("holdfast_sessions_dropped_total"); n != 0 {
		h.T.Errorf("%v sessions were dropped, want none:\n%s", n, scrape.Drops())
	}
}

// cpu returns the time that the process has used, user and kernel.
func (h *holdfast) cpu() time.Duration {
	h.T.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.Cmd.Process.Pid))
	if err != nil {
		h.T.Fatal(err)
	}
	// The name, in parentheses, may hold spaces. utime and stime are the 12th and 13th after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		h.T.Fatalf("%s: %v, %v", stat, err1, err2)
	}
	return time.Duration(user+system) * time.Second / 100 // USER_HZ is 100 everywhere
}

// memory returns the bytes of the process's own that are in memory.
func (h *holdfast) memory() int {
	h.T.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.Cmd.Process.Pid))
	if err != nil {
		h.T.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	var kilobytes int
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		h.T.Fatalf("RssAnon: %v", err)
	}
	return kilobytes << 10
}
