// Package socket makes the system calls on sockets that never block:
//
//	Connect, Connected     makes a connection              (connect_linux.go, endpoint_linux.go)
//	Accept, AcceptShared   takes one from a listener       (accept_linux.go)
//	Options                what the kernel is told         (options_linux.go)
//	Receive, Send, Close   moves bytes, and ends           (calls_linux.go)
//	Unacked, LastACKs      asks how far bytes have come    (asks_linux.go)
//
// The package knows nothing of what the bytes mean.
//
// The calls are raw: they never block, so the runtime need not prepare for a thread
// that stays in the kernel, nor wake its monitor for it.
package socket

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrAgain says that a socket is not ready.
var ErrAgain error = unix.EAGAIN

// Receive reads into b, which must not be empty. It returns ErrAgain when nothing is
// there, and io.EOF after the peer's end.
func Receive(fd int, b []byte) (int, error) {
	n, err := transfer(unix.SYS_RECVFROM, fd, b, 0)
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, err
}

// Send writes what the socket takes of b, which must not be empty; ErrAgain if that is
// nothing. With more to come, be it the stream's end, the kernel may hold the bytes
// back for a moment.
func Send(fd int, b []byte, more bool) (int, error) {
	flags := uintptr(unix.MSG_NOSIGNAL)
	if more {
		flags |= unix.MSG_MORE
	}
	return transfer(unix.SYS_SENDTO, fd, b, flags)
}

// transfer is a recv or a send. For a socket they are a shorter way through the
// kernel than read and write.
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

// Shutdown ends a direction of a connection: unix.SHUT_RD or unix.SHUT_WR.
func Shutdown(fd, how int) error { return call(unix.SYS_SHUTDOWN, uintptr(fd), uintptr(how), 0) }

// Close closes a descriptor. What its peer has not acknowledged yet the kernel goes on
// sending.
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

// Duplicate takes a descriptor out of the standard library's hands, which would make
// it blocking if it were asked for it. The duplicate stays as it is, and is registered
// nowhere.
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
