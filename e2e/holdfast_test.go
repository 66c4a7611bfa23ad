//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/blackbox"
)

// holdfast is the proxy under test. Direct, it is nothing but the service's address.
type holdfast struct {
	*blackbox.Holdfast
	url string // of the proxy's listener, ws://
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
		"HOLDFAST_DRAIN_DELAY=0s",
		"HOLDFAST_DRAIN_SPREAD=0s",
	}, settings...)
}

// launch runs cmd, which is a proxy or becomes one.
func launch(t *testing.T, cmd *exec.Cmd) *holdfast {
	t.Helper()
	h := &holdfast{Holdfast: blackbox.NewHoldfast(start(t, "holdfast", cmd), nil)}
	t.Cleanup(h.ends)
	return h
}

// hasStarted waits for the line that says where the proxy listens.
func (h *holdfast) hasStarted() {
	h.T.Helper()
	started := h.logs("where it listens", func(l logLine) bool { return l.Listen != "" })
	h.url = "ws://" + started.Listen
	if started.TLS {
		h.url = "wss://" + started.Listen
	}
	h.Admin = "http://" + started.Admin
	h.T.Cleanup(h.AccountsForAll)
}

// address is where the proxy listens, host:port.
func (h *holdfast) address() string {
	_, address, _ := strings.Cut(h.url, "://")
	return address
}

// web is the proxy's URL for requests that are not a handshake.
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
	// Of the lines of a drain: how long it takes, and how many sessions were cut.
	AtMost float64 `json:"at_most_s"`
	Cut    int
	// Where a session was: the name of the upstream, and the address.
	Upstream string
	Address  string
}

// logs waits for a line and returns it.
func (h *holdfast) logs(what string, isIt func(logLine) bool) (line logLine) {
	h.T.Helper()
	h.Until("a line that says "+what, func() bool {
		lines := bufio.NewScanner(strings.NewReader(h.Stderr.String()))
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

// logsEnd waits for the line of the end of the session with that path.
func (h *holdfast) logsEnd(path string) logLine {
	h.T.Helper()
	return h.logs("that the session of "+path+" ended", func(l logLine) bool {
		return l.Path == path && (l.Msg == "session closed" || l.Msg == "session dropped")
	})
}

// wantsLoggedClient waits for the end of the session with that path, and wants
// its client to have been at the address.
func (h *holdfast) wantsLoggedClient(path, address string) {
	h.T.Helper()
	ended := h.logsEnd(path)
	if got := hostOf(ended.Client); got != address {
		h.T.Errorf("the log calls the client of %s %q, want %s", path, ended.Client, address)
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
	if h.HasEnded() {
		return
	}
	// The first may be enough and leave none to signal; a second means: at once.
	_ = h.Cmd.Process.Signal(syscall.SIGTERM)
	_ = h.Cmd.Process.Signal(syscall.SIGTERM)
	h.WantsEnd()
}

// wantsMetric is WantsMetric, but for a proxy that is not there.
func (h *holdfast) wantsMetric(name string, want float64) {
	if direct {
		return
	}
	h.T.Helper()
	h.WantsMetric(name, want)
}
