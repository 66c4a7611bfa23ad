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

// unixScheme is the prefix of a unix socket's path.
const unixScheme = "unix:"

// listenAdmin opens the admin listener. It returns nil if address is empty.
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

// named adds the variable and what to do to an error about an address that cannot be
// listened on. Errors about the file of a unix socket are such errors. It returns any other
// error as it is.
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

// remedy returns what to do about an address that cannot be listened on, or "" if that is
// not known.
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
		return "set a port of 1024 or above, or give this program the capability CAP_NET_BIND_SERVICE"
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
		return "create the folder first, or correct the path"
	case errors.Is(err, syscall.ENOTDIR):
		return "a part of the path is not a folder: correct it"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("allow user %d, as which this process runs, to write to the folder, or set another path", os.Geteuid())
	}
	return ""
}

// isTaken reports whether err says that an address is in use, and the listener admin is
// what uses it. Addresses can be written in ways that only the kernel knows to be the same.
func isTaken(address string, admin net.Listener, err error) bool {
	if admin == nil || !errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	_, port, _ := net.SplitHostPort(address)
	_, own, _ := net.SplitHostPort(admin.Addr().String())
	return port == own
}

// nameOf returns an address in the form that its variable has.
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
