//go:build e2e

package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/blackbox"
)

// shortDir is for sockets: their paths must fit 107 bytes, whatever a test is called.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(workDir, "")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func isSocket(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == fs.ModeSocket
}

func TestUnixSockets(t *testing.T) {
	needsProxy(t)
	cases := []struct {
		name      string
		settings  []string
		forwarded string // what the service is told of a client that claims to be passed on for 192.0.2.7
	}{
		{name: "not trusted"},
		{name: "trusted", settings: []string{"HOLDFAST_TRUSTED_PROXIES=unix:"}, forwarded: "192.0.2.7"},
	}
	for _, c := range cases {
		for _, servers := range []runtime{python, node} {
			t.Run(c.name+" before "+servers.name, func(t *testing.T) {
				t.Parallel()
				dir := shortDir(t)
				path := filepath.Join(dir, "holdfast.sock")
				server := startServer(t, servers, serverOptions{Socket: filepath.Join(dir, "service.sock")})
				settings := slices.Concat(frequentPings, c.settings, []string{"HOLDFAST_LISTEN=unix:" + path})
				checks(t, server.url, settings, true)
				proxy := startHoldfast(t, server.url, settings...)
				client := startClient(t, python)

				client.connects("ws://service.example", command{ID: "a", Socket: path, Claims: "192.0.2.7"})
				wantsHeaders(t, server.wants("open", "a").Headers, map[string]string{
					"host": "service.example", "x-forwarded-for": c.forwarded, "x-forwarded-proto": "http",
				})
				for _, m := range messages {
					client.echoes("a", m)
				}
				proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), 2)
				if servers.name == node.name {
					got := curl(t, "--unix-socket", path, "--header", "X-Forwarded-For: 192.0.2.7", "http://service.example/page").mirror()
					wantsHeaders(t, got.Headers, map[string]string{"host": "service.example", "x-forwarded-for": c.forwarded})
				}
				client.closes("a", 4000, "done")
				server.wantsClosed("a", 4000, "done")
				client.wantsClosed("a", 4000, "done")
				proxy.wantsMetric(blackbox.Closed("client"), 1)

				proxy.ends()
				if isSocket(path) {
					t.Error("the listener's socket is left behind")
				}
				if !isSocket(strings.TrimPrefix(server.url, "unix:")) {
					t.Error("the service's socket is gone")
				}
			})
		}
	}
}

// startActivated has systemd's tool listen on sockets of these names, and run the
// proxy when somebody comes.
func startActivated(t *testing.T, dir string, names []string, environment []string) *holdfast {
	t.Helper()
	args := []string{"--fdname=" + strings.Join(names, ":")}
	for _, name := range names {
		args = append(args, "--listen="+filepath.Join(dir, name))
	}
	for _, setting := range environment {
		args = append(args, "--setenv="+setting)
	}
	return launch(t, exec.Command(tool(t, "systemd-socket-activate"), append(args, binary)...))
}

func TestSocketActivation(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	dir := shortDir(t)
	path := filepath.Join(dir, "front")
	server := startServer(t, python, serverOptions{})
	proxy := startActivated(t, dir, []string{"other", "front"}, environment(server.url, "HOLDFAST_LISTEN=systemd:front"))
	client := startClient(t, python)
	proxy.Until("the sockets are there", func() bool { return isSocket(path) })

	// Nobody runs yet: to come is what starts the proxy.
	client.connects("ws://service.example", command{ID: "a", Socket: path})
	proxy.hasStarted()
	server.wants("open", "a")
	client.echoes("a", hello)

	proxy.Signal(syscall.SIGINT)
	client.wantsClosed("a", 1012, "proxy is shutting down")
	if code := proxy.WantsEnd(); code != 0 {
		t.Errorf("holdfast ended with exit code %d", code)
	}
	if !isSocket(path) {
		t.Error("the socket, which is not the proxy's own, is gone")
	}
}

// A name that systemd did not pass is a mistake in a unit, and said at once.
func TestSocketActivationWithoutTheSocket(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	dir := shortDir(t)
	path := filepath.Join(dir, "other")
	proxy := startActivated(t, dir, []string{"other"}, environment(upstreamAbsent(t), "HOLDFAST_LISTEN=systemd:front"))
	proxy.Until("the socket is there", func() bool { return isSocket(path) })

	// It waits for an answer that never comes, and is told so by the process's end.
	curl(t, "--unix-socket", path, "http://service.example/page")
	if code := proxy.WantsEnd(); code == 0 {
		t.Error("holdfast ended as if all were well")
	}
	if said := proxy.Stderr.String(); !strings.Contains(said, "HOLDFAST_LISTEN") || !strings.Contains(said, "front") {
		t.Errorf("it does not say what is wrong:\n%s", said)
	}
}
