package config

import (
	"errors"
	"fmt"
	"strings"
)

// The prefixes of a unix socket's path and of the name of a socket that systemd passes.
const (
	unixScheme    = "unix:"
	systemdScheme = "systemd:"
)

// maxSocketPath is the length of the longest path that the kernel accepts, without the
// zero byte at its end: unix(7).
const maxSocketPath = 107

// socketPath checks the text that follows unix: in unix:/path or in unix:///path. It
// returns the path.
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

// withoutZone returns an IPv6 address without its zone, and any other host as it is.
func withoutZone(host string) string {
	host, _, _ = strings.Cut(host, "%")
	return host
}
