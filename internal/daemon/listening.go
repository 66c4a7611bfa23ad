package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// unixScheme stands before the path of a unix socket.
const unixScheme = "unix:"

// listenAdmin returns nil for an admin listener that is off.
func listenAdmin(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, named("HOLDFAST_ADMIN_LISTEN", address, err)
	}
	return listener, nil
}

// named says which variable holds the address that cannot be listened on, and what to do
// about it. That is also the address of a unix socket whose file is in the way.
func named(variable, address string, err error) error {
	var op *net.OpError
	var file *fs.PathError
	switch {
	case errors.As(err, &op) && op.Op == "listen", errors.As(err, &file):
		if what := remedy(address, err); what != "" {
			return fmt.Errorf("%s: %w; %s", variable, err, what)
		}
		return fmt.Errorf("%s: %w", variable, err)
	}
	return err
}

// remedy returns what to do about an address that cannot be listened on; "" if there is no
// telling.
func remedy(address string, err error) string {
	if path, isUnix := strings.CutPrefix(address, unixScheme); isUnix {
		return unixRemedy(path, err)
	}
	var lookup *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: stop it, or set another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.As(err, &lookup):
		return "set an address of this machine"
	case errors.Is(err, fs.ErrPermission):
		return "set a port from 1024 on, or let this program have lower ones (CAP_NET_BIND_SERVICE)"
	}
	return ""
}

func unixRemedy(path string, err error) string {
	info, missing := os.Lstat(path)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && missing == nil && info.Mode().Type() != fs.ModeSocket:
		return "a file that is not a socket is there: remove it, or set another path"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: stop it, or set another path"
	case errors.Is(err, fs.ErrNotExist):
		return "make the folder first, or correct the path"
	case errors.Is(err, syscall.ENOTDIR):
		return "a part of the path is not a folder: correct it"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("let user %d, whom this process runs as, write to the folder, or set another path", os.Geteuid())
	}
	return ""
}

// nameOf returns an address as its variable takes it.
func nameOf(address net.Addr) string {
	if address.Network() == "unix" {
		return unixScheme + address.String()
	}
	return address.String()
}

func addressOf(listener net.Listener) string {
	if listener == nil {
		return "off"
	}
	return listener.Addr().String()
}
