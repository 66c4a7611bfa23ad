package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/shown"
)

// What stands before the path of a unix socket, and before the name of a socket
// that systemd passes.
const (
	unixScheme    = "unix:"
	systemdScheme = "systemd:"
)

func parseListen(value string) (listenAddress, error) {
	if path, ok := strings.CutPrefix(value, unixScheme); ok {
		path, err := socketPath(path)
		return listenAddress(unixScheme + path), err
	}
	if name, ok := strings.CutPrefix(value, systemdScheme); ok {
		return listenAddress(value), checkSocketName(name)
	}
	return listenAddress(value), checkHostPort(value)
}

// Systemd returns the name of the socket that systemd is to pass, if it is one.
func (a listenAddress) Systemd() (name string, ok bool) {
	return strings.CutPrefix(string(a), systemdScheme)
}

func parseAdminListen(value string) (adminAddress, error) {
	switch {
	case value == "off":
		return "", nil
	case strings.HasPrefix(value, unixScheme), strings.HasPrefix(value, systemdScheme):
		return "", errors.New("must be host:port or off; other sockets are for HOLDFAST_LISTEN alone")
	}
	return adminAddress(value), checkHostPort(value)
}

func checkHostPort(value string) error {
	host, port, err := net.SplitHostPort(value)
	switch {
	case strings.Contains(value, "//"):
		return errors.New(`is not host:port; leave out scheme and path, like ":8080" or "127.0.0.1:8080"`)
	case err != nil && strings.Trim(value, "0123456789") == "":
		return fmt.Errorf("has no colon; write %q", ":"+value)
	case err != nil && validHost(value):
		return fmt.Errorf("has no port; write %q", net.JoinHostPort(value, "PORT"))
	case err != nil || host != "" && !validHost(host):
		return errors.New(`is not host:port; write for example ":8080", "127.0.0.1:8080" or "[::1]:8080"`)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("has no valid port; it must be a number from 0 to 65535")
	}
	return nil
}

// AdminAddress is where the admin listener of environ can be reached from here. It
// needs one variable and minds no other.
func AdminAddress(environ []string) (string, error) {
	s := readSettings(environ)
	const name = "HOLDFAST_ADMIN_LISTEN"
	value, _ := s.effective(variableNamed(name))
	listen, err := parseAdminListen(value)
	switch {
	case err != nil:
		return "", Problems{{name, value, err.Error()}}
	case listen == "":
		return "", errors.New(name + " is off: there is nobody to ask")
	}
	host, port, err := net.SplitHostPort(string(listen))
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(reachable(host), port), nil
}

// reachable is the host to dial for one that is listened on: a wildcard is no destination.
func reachable(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "":
		return "127.0.0.1"
	case err != nil || !ip.IsUnspecified():
		return host
	case ip.Is4():
		return "127.0.0.1"
	}
	return "::1"
}

// maxSocketPath is what the kernel has room for, with a zero byte behind it: unix(7).
const maxSocketPath = 107

// socketPath takes what stands behind unix: in unix:/path, or in unix:///path.
func socketPath(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", errors.New(`has no absolute path; write for example "unix:/run/app.sock"`)
	}
	path = "/" + strings.TrimLeft(path, "/")
	switch {
	case strings.HasSuffix(path, "/"):
		return "", errors.New("is a directory; name a socket in it")
	case len(path) > maxSocketPath:
		return "", fmt.Errorf("has a path of %d bytes; the kernel takes no more than %d", len(path), maxSocketPath)
	}
	return path, nil
}

// checkSocketName wants what systemd takes for a FileDescriptorName:
// systemd.socket(5).
func checkSocketName(name string) error {
	isBad := func(r rune) bool { return r < ' ' || r > '~' || r == ':' }
	switch {
	case name == "":
		return errors.New(`has no name; write the FileDescriptorName of the socket unit, like "systemd:web"`)
	case len(name) > 255 || strings.ContainsFunc(name, isBad):
		return errors.New("has no valid name; systemd's are of up to 255 printable ASCII characters, none of them a colon")
	}
	return nil
}

// parseUpstream never repeats what net/url found wrong: its messages quote parts
// of the value, and those may be a password.
func parseUpstream(value string) (url.URL, error) {
	if strings.Contains(value, ",") {
		return url.URL{}, errors.New("a list is not supported by this version; name one upstream (a comma in its path is written %2C)")
	}
	if path, ok := strings.CutPrefix(value, unixScheme); ok {
		path, err := socketPath(path)
		return url.URL{Scheme: "unix", Path: path, OmitHost: true}, err
	}
	if !strings.Contains(value, "://") {
		return url.URL{}, errors.New("has no scheme; write " + shown.Quoted("ws://"+strings.TrimLeft(value, "/")))
	}
	u, err := url.Parse(value)
	if err != nil {
		return url.URL{}, errors.New(`is not a URL; write for example "ws://localhost:9000"`)
	}
	return *u, checkUpstream(u, value)
}

func checkUpstream(u *url.URL, value string) error {
	switch {
	case !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme):
		return errors.New("has an unknown scheme; use ws://, wss://, http://, https:// or unix:/path")
	case u.User != nil:
		return errors.New("must not contain a user name or password")
	case strings.ContainsAny(value, "?#"):
		return errors.New("must not contain a query or fragment; both come from the client")
	case u.Hostname() == "":
		return errors.New(`has no host; write for example "ws://localhost:9000"`)
	case !validHost(u.Hostname()):
		return errors.New("has no valid host; use an ASCII host name or an IP address")
	case !validUpstreamPort(u):
		return errors.New("has no valid port; it must be a number from 1 to 65535")
	}
	return nil
}

func validUpstreamPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// Words that may stand for a Host.
const (
	hostPreserve upstreamHost = "preserve" // the client's
	hostUpstream upstreamHost = "upstream" // the upstream's own
)

func parseUpstreamHost(value string) (upstreamHost, error) {
	host := upstreamHost(value)
	if host == hostPreserve || host == hostUpstream {
		return host, nil
	}
	u, err := url.Parse("//" + value)
	if err != nil || u.Host != value || !validHost(u.Hostname()) || !validUpstreamPort(u) {
		return "", errors.New(`must be preserve, upstream, or a host like "service.example" or "service.example:8080"`)
	}
	return host, nil
}

// hostOf is the Host that a client of the upstream itself would send: without a
// zone, which means nothing to others (RFC 6874, section 1). A unix socket has
// none, and is asked for the one that curl and nginx send there.
func hostOf(upstream *url.URL) string {
	host := withoutZone(upstream.Hostname())
	switch {
	case upstream.Scheme == "unix":
		return "localhost"
	case upstream.Port() != "":
		return net.JoinHostPort(host, upstream.Port())
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// UpstreamAddress is where the upstream is, as package net takes it.
func (c Config) UpstreamAddress() (network, address string) { return dialAddress(c.Upstream) }

// UpstreamRequest is what a client's request for / becomes: the URL, and the Host that
// the upstream is sent. A client's own Host is that of the upstream here.
func (c Config) UpstreamRequest() (url, host string) {
	return probeURL(c.Upstream), cmp.Or(c.upstreamHost(), hostOf(c.Upstream))
}

// dialAddress is where an upstream is, as package net takes it.
func dialAddress(upstream *url.URL) (network, address string) {
	switch {
	case upstream.Scheme == "unix":
		return "unix", upstream.Path
	case upstream.Port() != "":
		return "tcp", upstream.Host
	case upstream.Scheme == "wss", upstream.Scheme == "https":
		return "tcp", net.JoinHostPort(upstream.Hostname(), "443")
	}
	return "tcp", net.JoinHostPort(upstream.Hostname(), "80")
}

// probeURL is what a client's request for / becomes. Its scheme is the one in which
// the dialer leaves everything to us, its host is not looked at.
func probeURL(upstream *url.URL) string {
	prefix := strings.TrimRight(upstream.EscapedPath(), "/")
	if upstream.Scheme == "unix" {
		prefix = ""
	}
	return "ws://" + hostOf(upstream) + prefix + "/"
}

func withoutZone(host string) string {
	host, _, _ = strings.Cut(host, "%")
	return host
}

func parseServerName(value string) (serverName, error) {
	if !validHost(value) || withoutZone(value) != value {
		return "", errors.New("must be a host name or an IP address, without scheme, brackets and port")
	}
	return serverName(value), nil
}

// validHost accepts an IP address, or a name of the letters that host names and
// the service names of container networks are made of.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("-._"), r))
	})
}
