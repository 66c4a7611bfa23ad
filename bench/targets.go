package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed peers/*.tmpl
var peerFiles embed.FS

var peerTemplates = template.Must(template.ParseFS(peerFiles, "peers/*.tmpl"))

// A target is a proxy to measure, or the direct path without a proxy.
type target struct {
	name  string // on the command line and in the JSON
	title string // in the table
	role  targetRole
	only  []string // scenarios; empty means all
	// find returns the program's path and version, or an error if the program cannot be
	// used. It is nil if there is no program to find.
	find func(ctx context.Context, p programs) (path, version string, err error)
	// command starts the program at path.
	command func(path string, s setting) (*exec.Cmd, error)
}

type targetRole uint8

const (
	reference targetRole = iota // shown beside the proxies, but not compared
	peer                        // Holdfast is compared with the best peer
	own                         // Holdfast
)

// programs are the executables that are part of this module.
type programs struct {
	self     string
	holdfast string // empty if it did not build
	buildErr error
}

// A setting holds the parameters for starting a proxy and for the configuration templates.
type setting struct {
	Dir         string       // for its files
	Listen      string       // host:port for clients
	Upstream    string       // host:port of the backend
	Admin       string       // host:port for an admin listener, if the proxy has one
	TLS         *certificate // for clients; nil if they connect without TLS
	Sessions    int          // the limit on sessions: more than the run needs
	Connections int          // the limit on connections: two for each session, and more
	OpenFiles   int          // the limit on descriptors
	Grace       string       // how long a process that is replaced may go on; empty: what the proxy does by default
	Control     string       // host:port where Caddy takes a new configuration; empty: nowhere
}

const holdfastName = "holdfast"

// targets returns all targets in the order of the table's columns.
func targets() []target {
	return []target{
		{name: holdfastName, title: "Holdfast", role: own, find: findHoldfast, command: startHoldfast("20s")},
		{name: "holdfast-noping", title: "Holdfast, no heartbeats", only: []string{idleScenario.name, tlsIdleScenario.name},
			find: described(findHoldfast, "with HOLDFAST_PING_INTERVAL=0"), command: startHoldfast("0")},
		{name: "holdfast-app", title: "Holdfast, application heartbeats", only: []string{idleScenario.name, textEchoScenario.name},
			find: described(findHoldfast, "with a text message to each peer every 20 s and its answer, beside the pings"), command: startHoldfast("20s", appVariables...)},
		{name: "nginx", title: "nginx", role: peer, find: findPackaged("nginx", "-v"), command: startNginx},
		{name: "haproxy", title: "HAProxy", role: peer, find: findPackaged("haproxy", "-v"), command: startHAProxy},
		{name: "caddy", title: "Caddy", role: peer, find: findPackaged("caddy", "version"), command: startCaddy},
		{name: "nethttp", title: "net/http", role: peer, find: findSelf, command: startNetHTTP},
		{name: "bare", title: "bare pings", only: []string{idleScenario.name}, find: described(findBare, "which pings every 20 s and does nothing else"), command: startBare("20s")},
		{name: "direct", title: "no proxy"},
	}
}

func targetNames() []string {
	var names []string
	for _, t := range targets() {
		names = append(names, t.name)
	}
	return names
}

// takesPart reports whether a target is measured in a scenario. The direct path does not
// take part in scenarios with TLS, because only proxies have TLS.
func (t target) takesPart(s scenario) bool {
	if s.tls && t.command == nil {
		return false
	}
	return len(t.only) == 0 || slices.Contains(t.only, s.name)
}

func findHoldfast(ctx context.Context, p programs) (string, string, error) {
	if p.buildErr != nil {
		return "", "", p.buildErr
	}
	return p.holdfast, versionOf(ctx, p.holdfast, "version"), nil
}

// described returns find with a description behind the version: what its column measures.
func described(find func(context.Context, programs) (string, string, error), as string) func(context.Context, programs) (string, string, error) {
	return func(ctx context.Context, p programs) (path, version string, err error) {
		path, version, err = find(ctx, p)
		return path, version + ", " + as, err
	}
}

// findSelf finds the proxy that is part of this program.
func findSelf(_ context.Context, p programs) (string, string, error) {
	return p.self, "httputil.ReverseProxy of " + goVersion(), nil
}

// findBare finds the bare pinger, which is part of this program.
func findBare(_ context.Context, p programs) (string, string, error) {
	return p.self, "an epoll loop of " + goVersion(), nil
}

// findPackaged finds the program of a Debian package of the same name.
func findPackaged(name, versionArgument string) func(context.Context, programs) (string, string, error) {
	return func(ctx context.Context, _ programs) (string, string, error) {
		path, err := lookProgram(name)
		if err != nil {
			return "", "", fmt.Errorf("%w; on Debian: apt-get install %s", err, name)
		}
		return path, versionOf(ctx, path, versionArgument), nil
	}
}

// lookProgram returns the path of a program. It looks also in directories that are in
// root's search path only.
func lookProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	if err != nil {
		return "", fmt.Errorf("%s is not installed", name)
	}
	return path, nil
}

// versionOf returns the first line that a program prints with argument, to standard output
// or to standard error.
func versionOf(ctx context.Context, path, argument string) string {
	output, err := exec.CommandContext(ctx, path, argument).CombinedOutput()
	line, _, _ := strings.Cut(string(output), "\n")
	if err != nil || line == "" {
		return "unknown version"
	}
	return line
}

// startHoldfast returns a function that starts Holdfast with heartbeats on both legs. Two
// settings besides the interval differ from the defaults. The jitter spreads the pings over
// the whole interval: otherwise all sessions that were opened together would ping during
// one measurement, or none. The handshake timeout is long enough for the scenarios that
// measure waiting handshakes. More variables may be set.
func startHoldfast(interval string, variables ...string) func(string, setting) (*exec.Cmd, error) {
	return func(path string, s setting) (*exec.Cmd, error) {
		command := exec.Command(path)
		command.Env = append(withoutOwnVariables(os.Environ()),
			"HOLDFAST_UPSTREAM=ws://"+s.Upstream,
			"HOLDFAST_LISTEN="+s.Listen,
			"HOLDFAST_ADMIN_LISTEN="+s.Admin,
			"HOLDFAST_PING_INTERVAL="+interval,
			"HOLDFAST_PING_JITTER=1",
			"HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT=2m",
		)
		command.Env = append(command.Env, variables...)
		if s.TLS != nil {
			command.Env = append(command.Env, "HOLDFAST_TLS_CERT_FILE="+s.TLS.CertFile, "HOLDFAST_TLS_KEY_FILE="+s.TLS.KeyFile)
		}
		return command, nil
	}
}

// withoutOwnVariables removes Holdfast's variables, so that the caller's settings do not
// change the measurement.
func withoutOwnVariables(environment []string) []string {
	return slices.DeleteFunc(environment, func(v string) bool { return strings.HasPrefix(v, "HOLDFAST_") })
}

func startNginx(path string, s setting) (*exec.Cmd, error) {
	config, err := writeConfig("nginx.conf", s)
	return exec.Command(path, "-e", "stderr", "-p", s.Dir, "-c", config), err
}

func startHAProxy(path string, s setting) (*exec.Cmd, error) {
	config, err := writeConfig("haproxy.cfg", s)
	return exec.Command(path, "-f", config), err
}

func startCaddy(path string, s setting) (*exec.Cmd, error) {
	config, err := writeConfig("Caddyfile", s)
	command := exec.Command(path, "run", "--adapter", "caddyfile", "--config", config)
	command.Env = append(os.Environ(), "XDG_DATA_HOME="+s.Dir, "XDG_CONFIG_HOME="+s.Dir)
	return command, err
}

func startBare(interval string) func(string, setting) (*exec.Cmd, error) {
	return func(path string, s setting) (*exec.Cmd, error) {
		return exec.Command(path, commandBare, s.Listen, s.Upstream, interval), nil
	}
}

func startNetHTTP(path string, s setting) (*exec.Cmd, error) {
	command := exec.Command(path, commandNetHTTP, s.Listen, s.Upstream)
	if s.TLS != nil {
		command.Args = append(command.Args, s.TLS.CertFile, s.TLS.KeyFile)
	}
	return command, nil
}

// writeConfig writes a configuration file from its template and returns its path.
func writeConfig(name string, s setting) (string, error) {
	var config bytes.Buffer
	if err := peerTemplates.ExecuteTemplate(&config, name+".tmpl", s); err != nil {
		return "", err
	}
	path := filepath.Join(s.Dir, name)
	return path, os.WriteFile(path, config.Bytes(), 0o644)
}
