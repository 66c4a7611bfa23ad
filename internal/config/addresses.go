package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// These stand before the path of a unix socket, and before the name of a socket that
// systemd passes.
const (
	unixScheme    = "unix:"
	systemdScheme = "systemd:"
)

// maxSocketPath is the longest path that the kernel has room for. A zero byte follows it:
// unix(7).
const maxSocketPath = 107

// socketPath checks what follows unix: in unix:/path or in unix:///path, and returns the
// path.
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

// validHost accepts an IP address, or a name of the letters that host names and
// the service names of container networks are made of. Digits and dots that are no
// address are no name either: some resolvers make an address of them (inet_aton(3)).
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return strings.Trim(host, "0123456789.") != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("-._"), r))
	})
}

func withoutZone(host string) string {
	host, _, _ = strings.Cut(host, "%")
	return host
}
