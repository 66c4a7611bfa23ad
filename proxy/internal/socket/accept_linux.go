package socket

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Accept accepts one connection from a listening descriptor, and returns its peer's
// address, which is the zero AddrPort for a unix socket. It returns ErrAgain if no
// connection waits.
func Accept(listener int) (fd int, from netip.AddrPort, err error) {
	for {
		var name unix.RawSockaddrInet6 // the longest address
		size := uint32(unix.SizeofSockaddrInet6)
		accepted, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener),
			uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(accepted), addrPort(&name), nil
		case unix.EAGAIN:
			return -1, netip.AddrPort{}, ErrAgain
		case unix.EINTR, unix.ECONNABORTED: // that connection has gone; others may wait
		default:
			return -1, netip.AddrPort{}, errno
		}
	}
}

// AcceptShared is Accept for a listening socket that other processes may have too, such
// as systemd or another service. Whether its calls block is a property of the socket and
// not of the descriptor. Any of the processes can change it for all, and an accept
// without a client would then block the caller until one comes. So AcceptShared calls
// accept only when a client waits, and sets the socket to not block just before. It could
// still block if another process, between these two steps and the accept, changed the
// socket back and took the client.
//
// SO_RCVTIMEO would bound such a wait, but the connections of the other processes would
// inherit it.
func AcceptShared(listener int) (fd int, from netip.AddrPort, err error) {
	if !Waiting(listener) {
		return -1, netip.AddrPort{}, ErrAgain // also after an error of poll: the caller tries again in its next turn
	}
	if err := unix.SetNonblock(listener, true); err != nil {
		return -1, netip.AddrPort{}, err
	}
	return Accept(listener)
}

// Waiting reports whether a connection waits to be accepted.
func Waiting(listener int) bool {
	polled := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	n, err := unix.Poll(polled, 0)
	return err == nil && n > 0
}
