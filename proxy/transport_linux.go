package proxy

import (
	"io"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/epoll"
)

// poller is the loop's seam to the kernel's readiness: *epoll.Poller in
// production.
type poller interface {
	Add(fd int, t epoll.Token, want epoll.Ready) error
	Modify(fd int, t epoll.Token, want epoll.Ready) error
	Remove(fd int) error
}

// transport is the loop's seam to one peer. Nothing in it ever blocks.
type transport interface {
	// FD is the descriptor to wait for.
	FD() int
	// Read returns errAgain when nothing is there, and io.EOF after the peer's end.
	Read(b []byte) (int, error)
	// Write returns what was taken; errAgain if that is nothing at all.
	Write(b []byte) (int, error)
	// CloseWrite ends our direction and leaves the peer's open.
	CloseWrite() error
	Close() error
}

// errAgain says that a descriptor is not ready.
var errAgain error = unix.EAGAIN

// socket is the transport of plain TCP: a bare non-blocking descriptor.
//
// Its reads and writes never block, so they are raw system calls: the runtime
// need not prepare for a thread that stays in the kernel, nor wake its monitor
// for it.
type socket int

func (s socket) FD() int { return int(s) }

func (s socket) Read(b []byte) (int, error) {
	n, err := s.transfer(unix.SYS_READ, b)
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, err
}

func (s socket) Write(b []byte) (int, error) { return s.transfer(unix.SYS_WRITE, b) }

// transfer is a read or a write of at least one byte.
func (s socket) transfer(call uintptr, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(s), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errAgain
		default:
			return 0, errno
		}
	}
}

func (s socket) CloseWrite() error { return unix.Shutdown(int(s), unix.SHUT_WR) }

func (s socket) Close() error { return unix.Close(int(s)) }

// accept takes one connection from a listening descriptor.
func accept(listener int) (socket, netip.AddrPort, error) {
	for {
		fd, sa, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			return socket(fd), addrPort(sa), nil
		case unix.EINTR, unix.ECONNABORTED: // that one is gone; there may be others
		default:
			return 0, netip.AddrPort{}, err
		}
	}
}

// connect begins a TCP connection; connected says that it is already there.
func connect(to netip.AddrPort, opts socketOptions) (s socket, connected bool, err error) {
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, false, os.NewSyscallError("socket", err)
	}
	if err := opts.apply(fd); err != nil {
		unix.Close(fd)
		return 0, false, err
	}
	switch err := unix.Connect(fd, sockaddr(to)); err {
	case nil:
		return socket(fd), true, nil
	case unix.EINPROGRESS, unix.EINTR:
		return socket(fd), false, nil
	default:
		unix.Close(fd)
		return 0, false, os.NewSyscallError("connect", err)
	}
}

// connectError is the outcome of a connect that has become writable.
func connectError(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if errno != 0 {
		return os.NewSyscallError("connect", unix.Errno(errno))
	}
	return nil
}

// socketOptions are set on a listener, whose connections inherit them on
// Linux, and on every connection to an upstream.
type socketOptions struct {
	userTimeout int // milliseconds; 0 leaves the kernel's default
}

func (o socketOptions) apply(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	if o.userTimeout == 0 {
		return nil
	}
	err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, o.userTimeout)
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", err)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zoneID(a.Addr().Zone())}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
