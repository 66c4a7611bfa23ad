//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// holdfast is the proxy under test. Direct, it is nothing but the service's address.
type holdfast struct {
	*process
	url     string // of the proxy's listener, ws://
	metrics string // the address of the scrape
}

// startHoldfast runs the proxy before the service at upstream, on ports of its own choice.
func startHoldfast(t *testing.T, upstream string, settings ...string) *holdfast {
	t.Helper()
	if direct {
		return &holdfast{url: upstream}
	}
	cmd := exec.Command(binary)
	cmd.Env = environment(upstream, settings...)
	h := launch(t, cmd)
	h.hasStarted()
	return h
}

// environment is that of a proxy before upstream. Of two settings of the same
// name the last one holds.
func environment(upstream string, settings ...string) []string {
	return append([]string{
		"HOLDFAST_UPSTREAM=" + upstream,
		"HOLDFAST_LISTEN=127.0.0.1:0",
		"HOLDFAST_ADMIN_LISTEN=127.0.0.1:0",
		"HOLDFAST_LOG_FORMAT=json",
		"HOLDFAST_LOG_LEVEL=debug",
	}, settings...)
}

// launch runs cmd, which is a proxy or becomes one.
func launch(t *testing.T, cmd *exec.Cmd) *holdfast {
	t.Helper()
	h := &holdfast{process: start(t, "holdfast", cmd)}
	t.Cleanup(h.ends)
	return h
}

// hasStarted waits for the line that says where the proxy listens.
func (h *holdfast) hasStarted() {
	h.t.Helper()
	started := h.logs("where it listens", func(l logLine) bool { return l.Listen != "" })
	h.url = "ws://" + started.Listen
	if started.TLS {
		h.url = "wss://" + started.Listen
	}
	h.metrics = "http://" + started.Admin + "/metrics"
	h.t.Cleanup(h.accountsForAll)
}

// address is where the proxy listens, host:port.
func (h *holdfast) address() string {
	_, address, _ := strings.Cut(h.url, "://")
	return address
}

// web is the proxy's URL for requests that are no handshake.
func (h *holdfast) web() string { return "http" + strings.TrimPrefix(h.url, "ws") }

// logLine is a line of the proxy's log, as far as tests ask for it.
type logLine struct {
	Level  string
	Msg    string
	Error  string
	Listen string // these three of the first line
	Admin  string
	TLS    bool
	Client string // of a session's lines
	Path   string
}

// logs waits for a line and returns it.
func (h *holdfast) logs(what string, isIt func(logLine) bool) (line logLine) {
	h.t.Helper()
	h.until("a line that says "+what, func() bool {
		lines := bufio.NewScanner(strings.NewReader(h.stderr.String()))
		for lines.Scan() {
			line = logLine{}
			if json.Unmarshal(lines.Bytes(), &line) == nil && isIt(line) {
				return true
			}
		}
		return false
	})
	return line
}

// wantsLoggedClient waits for the end of the session with that path, and wants
// its client to have been at the address.
func (h *holdfast) wantsLoggedClient(path, address string) {
	h.t.Helper()
	ended := h.logs("that the session of "+path+" ended", func(l logLine) bool {
		return l.Path == path && (l.Msg == "session closed" || l.Msg == "session dropped")
	})
	if got := hostOf(ended.Client); got != address {
		h.t.Errorf("the log calls the client of %s %q, want %s", path, ended.Client, address)
	}
}

// hostOf is an address without its port, if it has one.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// ends asks the proxy to end and wants it to, whatever its sessions' peers do.
func (h *holdfast) ends() {
	select {
	case <-h.ended:
		return
	default:
	}
	// The first may be enough and leave none to signal; a second means: at once.
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	h.hasEnded()
}

// scraper leaves no connection behind that would be counted among the proxy's descriptors.
var scraper = http.Client{
	Transport: &http.Transport{DisableKeepAlives: true},
	Timeout:   patience,
}

// scrape is what /metrics answers.
func (h *holdfast) scrape() []byte {
	h.t.Helper()
	response, err := scraper.Get(h.metrics)
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

// metric is the value of a series, or the sum over all series of a family.
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

// wantsMetric waits until a series has the value: what a peer sees and what is
// counted have no order that could be relied on.
func (h *holdfast) wantsMetric(name string, want float64) {
	if direct {
		return
	}
	h.t.Helper()
	h.until(fmt.Sprintf("%s %v", name, want), func() bool { return h.metric(name) == want })
}

// wantsAtLeast is wantsMetric for what goes on rising.
func (h *holdfast) wantsAtLeast(name string, want float64) {
	h.t.Helper()
	h.until(fmt.Sprintf("%s ≥ %v", name, want), func() bool { return h.metric(name) >= want })
}

func dropped(side, reason string) string {
	return fmt.Sprintf(`holdfast_sessions_dropped_total{reason=%q,side=%q}`, reason, side)
}

func closed(side string) string {
	return fmt.Sprintf(`holdfast_sessions_closed_total{side=%q}`, side)
}

func handshakes(result string) string {
	return fmt.Sprintf(`holdfast_handshakes_total{result=%q}`, result)
}

func ofSide(family, side string) string {
	return fmt.Sprintf(`%s{side=%q}`, family, side)
}

// accountsForAll: at every scrape each session is active, closed or dropped.
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

// descriptors is what the process has open.
func (h *holdfast) descriptors() (targets []string) {
	h.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", h.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, entry := range entries {
		// One that is closed between the two looks is not open.
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			targets = append(targets, target)
		}
	}
	return targets
}
