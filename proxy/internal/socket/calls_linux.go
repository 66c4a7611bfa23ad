// Package socket makes the system calls on sockets that never block:
//
//	Connect, Connected     make a connection               (connect_linux.go, endpoint_linux.go)
//	Accept, AcceptShared   accept one from a listener      (accept_linux.go)
//	Options                configure one                   (options_linux.go)
//	Receive, Send, Close   move bytes, and end it          (calls_linux.go)
//	Unacked, LastACKs      ask how far bytes have come     (asks_linux.go)
//
// The package knows nothing about the meaning of the bytes.
//
// The calls are raw. They never block, so the runtime need not prepare for a thread that
// stays in the kernel, nor wake its monitor.
package socket

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrAgain means that a socket is not ready.
var ErrAgain error = unix.EAGAIN

// Receive reads into b, which must not be empty. It returns ErrAgain if nothing is there,
// and io.EOF after the peer's end.
func Receive(fd int, b []byte) (int, error) {
	n, err := transfer(unix.SYS_RECVFROM, fd, b, 0)
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, err
}

// Send writes b, which must not be empty, and returns how many bytes the socket took, or
// ErrAgain if it took none. more says that more bytes, or the stream's end, follow at
// once; then the kernel may hold the bytes back for a moment.
func Send(fd int, b []byte, more bool) (int, error) {
	flags := uintptr(unix.MSG_NOSIGNAL)
	if more {
		flags |= unix.MSG_MORE
	}
	return transfer(unix.SYS_SENDTO, fd, b, flags)
}

// transfer makes the system call recvfrom or sendto. For a socket they take a shorter way
// through the kernel than read and write.
func transfer(call uintptr, fd int, b []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrAgain
		default:
			return 0, errno
		}
	}
}

// Shutdown ends one direction of a connection, unix.SHUT_RD or unix.SHUT_WR.
func Shutdown(fd, how int) error { return call(unix.SYS_SHUTDOWN, uintptr(fd), uintptr(how), 0) }

// Close closes a descriptor. The kernel goes on sending what the peer has not
// acknowledged.
func Close(fd int) error {
	if Unacked(fd) > 0 {
		UnlimitBackoff(fd)
	}
	return call(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

func call(number, a, b, c uintptr) error {
	if _, _, errno := syscall.RawSyscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// Duplicate returns a duplicate of the descriptor of from, which the standard library
// owns. It does not ask the standard library for the descriptor itself, because that
// would make the descriptor blocking. The duplicate stays as it was, and no poller has
// it.
func Duplicate(from syscall.Conn) (fd int, err error) {
	raw, err := from.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(theirs uintptr) {
		fd, dupErr = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, os.NewSyscallError("fcntl", dupErr)); err != nil {
		return -1, err
	}
	return fd, nil
}
