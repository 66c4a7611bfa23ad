package config

import (
	"errors"
	"fmt"
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

func withoutZone(host string) string {
	host, _, _ = strings.Cut(host, "%")
	return host
}
