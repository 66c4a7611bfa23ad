package socket

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	// ErrItself says that a connection to a port of this host has reached its own
	// socket: nobody listens there.
	ErrItself = errors.New("nobody listens: the connection reached itself")
	// ErrNoSource says that this host has no address of the endpoint's family.
	ErrNoSource = errors.New("this host has no address from which it could be reached")
)

// Connect begins a connection. The outcome shows in the first Send: it finds the
// connection there, or is told ErrAgain or why it will never be. A unix socket whose
// queue is full says ErrAgain at once. If this host has no port for the connection,
// the error is unix.EADDRNOTAVAIL.
func Connect(to Endpoint, opts Options) (fd int, err error) {
	addr, size := to.sockaddr()
	made, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(addr.Family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("socket", errno)
	}
	fd = int(made)
	if addr.Family != unix.AF_UNIX {
		if err := opts.Apply(fd); err != nil {
			_ = Close(fd) // the first error is the one to tell
			return -1, err
		}
		// What we send at once carries the ACK that completes TCP's handshake.
		_ = setTCPOption(fd, unix.TCP_QUICKACK, 0) // without it there is a segment more
	}
	err = call(unix.SYS_CONNECT, made, uintptr(unsafe.Pointer(&addr)), uintptr(size))
	switch err {
	case nil, unix.EINPROGRESS, unix.EINTR:
		if err = notItself(fd, to); err == nil {
			return fd, nil
		}
	case unix.EAGAIN:
		err = ErrAgain
	case unix.EADDRNOTAVAIL:
		err = whyNotAvailable(to)
	default:
		err = os.NewSyscallError("connect", err)
	}
	_ = Close(fd) // as above
	return -1, err
}

// Connected tells how a Connect came out whose socket has become writable. It asks
// the socket for its error.
func Connected(fd int) error {
	failure, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_ERROR", err)
	}
	if failure != 0 {
		return os.NewSyscallError("connect", syscall.Errno(failure))
	}
	return nil
}

// notItself returns an error if the kernel has given a connection to a port of
// this host that same port for its own end: TCP makes a connection of the two,
// where nobody listens. Such a connection is to be closed at once, and by a reset:
// its port is the service's, which could not be bound for a minute otherwise.
func notItself(fd int, to Endpoint) error {
	if !to.AddrPort.IsValid() {
		return nil
	}
	var name unix.RawSockaddrInet6 // the longest that there is
	size := uint32(unix.SizeofSockaddrInet6)
	if err := call(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&size))); err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	own, ip := addrPort(&name), to.AddrPort.Addr().WithZone("")
	if own.Port() != to.AddrPort.Port() || own.Addr() != ip && !(ip.IsUnspecified() && own.Addr().IsLoopback()) {
		return nil
	}
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // it fails for no socket
	return ErrItself
}

// whyNotAvailable tells what connect's EADDRNOTAVAIL means: that no port is left
// for another connection to that address, or that this host has no address of its
// family. In the second case UDP, whose ports are others, has none either.
func whyNotAvailable(to Endpoint) error {
	addr, size := to.sockaddr()
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(addr.Family), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	err := call(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&addr)), uintptr(size))
	_ = Close(int(fd)) // nothing is in it
	if err == unix.EADDRNOTAVAIL {
		return ErrNoSource
	}
	return fmt.Errorf("no local port is left for a connection to the upstream: %w", unix.EADDRNOTAVAIL)
}
