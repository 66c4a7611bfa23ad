package daemon

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"holdfast/internal/config"
)

// Unbindable reports the addresses of c that this process cannot listen on. An address in
// use is not reported, since Holdfast may run already. Nor is a socket of systemd's, which
// only the service's own process gets. No client can connect meanwhile: nothing listens,
// and no file of a socket is made or removed.
func Unbindable(c config.Config) (found config.Problems) {
	if _, isSystemd := c.Listen.Systemd(); !isSystemd {
		found = append(found, unbindable("HOLDFAST_LISTEN", c.Listen.Address())...)
	}
	if c.AdminListen != "" {
		found = append(found, unbindable("HOLDFAST_ADMIN_LISTEN", string(c.AdminListen))...)
	}
	return found
}

// unbindable is Unbindable for one address.
func unbindable(variable, address string) config.Problems {
	err := tryBinding(address)
	if err == nil {
		return nil
	}
	reason := "cannot be listened on: " + cause(err).Error()
	if what := remedy(address, err); what != "" {
		reason += "; " + what
	}
	return config.Problems{{Variable: variable, Value: address, Reason: reason}}
}

// cause returns the innermost error that says more than the address and the system call.
func cause(err error) error {
	var lookup *net.DNSError
	var number syscall.Errno
	switch {
	case errors.As(err, &lookup):
		return lookup
	case errors.As(err, &number):
		return number
	}
	return err
}

// tryBinding returns why an address cannot be listened on; nil if it can be, or is in use.
func tryBinding(address string) error {
	if path, isUnix := strings.CutPrefix(address, unixScheme); isUnix {
		return tryFolder(path)
	}
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return err
	}
	if err := bind(at); !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return nil
}

// bind binds a socket to an address and closes it.
func bind(at *net.TCPAddr) error {
	family, address := syscall.AF_INET6, syscall.Sockaddr(nil)
	switch ip4 := at.IP.To4(); {
	case ip4 != nil:
		family, address = syscall.AF_INET, &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(ip4)}
	case at.IP == nil && !hasIPv6():
		family, address = syscall.AF_INET, &syscall.SockaddrInet4{Port: at.Port}
	default:
		ip6 := &syscall.SockaddrInet6{Port: at.Port}
		copy(ip6.Addr[:], at.IP)
		if zone, err := net.InterfaceByName(at.Zone); err == nil {
			ip6.ZoneId = uint32(zone.Index)
		}
		address = ip6
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer closeSocket(fd)
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("bind", syscall.Bind(fd, address))
}

// hasIPv6 reports whether the kernel has IPv6.
func hasIPv6() bool {
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		closeSocket(fd)
	}
	return err == nil
}

// closeSocket closes a socket that was only tried out, so an error changes nothing.
func closeSocket(fd int) { _ = syscall.Close(fd) }

// tryFolder returns why no unix socket can be made at path.
func tryFolder(path string) error {
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return &fs.PathError{Op: "stat", Path: folder, Err: syscall.ENOTDIR}
	}
	if there, err := os.Lstat(path); err == nil && there.Mode().Type() != fs.ModeSocket {
		return &fs.PathError{Op: "bind", Path: path, Err: syscall.EADDRINUSE}
	}
	const writable = 2 | 1 // W_OK and X_OK, see access(2)
	if err := syscall.Access(folder, writable); err != nil {
		return &fs.PathError{Op: "access", Path: folder, Err: err}
	}
	return nil
}
