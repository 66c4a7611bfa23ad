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
	// ErrItself means that a connection to a port of this host has reached its own
	// socket: no process listens there.
	ErrItself = errors.New("no process listens there: the connection reached itself")
	// ErrNoSource means that this host has no address of the endpoint's family.
	ErrNoSource = errors.New("this host has no address of the upstream's address family")
)

// Connect starts a connection. The first Send shows its outcome: it succeeds, or returns
// ErrAgain while the connect is under way, or returns why it failed. Connect returns
// ErrAgain for a unix socket whose queue is full, and unix.EADDRNOTAVAIL if this host has
// no port left for the connection.
func Connect(to Endpoint, opts Options) (fd int, err error) {
	addr, size := to.sockaddr()
	made, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(addr.Family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("socket", errno)
	}
	fd = int(made)
	if addr.Family != unix.AF_UNIX {
		if err := opts.Apply(fd); err != nil {
			_ = Close(fd) // err is the error to return
			return -1, err
		}
		// The first bytes that we send carry the ACK that completes TCP's handshake.
		_ = setTCPOption(fd, unix.TCP_QUICKACK, 0) // an error costs one more segment
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
	_ = Close(fd) // err, set above, is the error to return
	return -1, err
}

// Connected returns the outcome of a Connect whose socket has become writable, from the
// socket's SO_ERROR.
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

// notItself returns ErrItself if a connection to a port of this host has that same port
// at its own end: TCP can connect a socket to itself where no process listens. It then
// arranges for Close to reset the connection. Otherwise the port, which is the service's,
// could not be bound for a minute.
func notItself(fd int, to Endpoint) error {
	if !to.AddrPort.IsValid() {
		return nil
	}
	var name unix.RawSockaddrInet6 // the longest address
	size := uint32(unix.SizeofSockaddrInet6)
	if err := call(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&size))); err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	own, ip := addrPort(&name), to.AddrPort.Addr().WithZone("")
	if own.Port() != to.AddrPort.Port() || own.Addr() != ip && !(ip.IsUnspecified() && own.Addr().IsLoopback()) {
		return nil
	}
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // it fails only on a descriptor that is not a socket
	return ErrItself
}

// whyNotAvailable returns the error for connect's EADDRNOTAVAIL: no port is left for
// another connection to that address, or this host has no address of its family. UDP has
// ports of its own, so it fails only in the second case.
func whyNotAvailable(to Endpoint) error {
	addr, size := to.sockaddr()
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(addr.Family), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	err := call(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&addr)), uintptr(size))
	_ = Close(int(fd)) // nothing was sent on it
	if err == unix.EADDRNOTAVAIL {
		return ErrNoSource
	}
	return fmt.Errorf("no local port is left for a connection to the upstream: %w", unix.EADDRNOTAVAIL)
}
