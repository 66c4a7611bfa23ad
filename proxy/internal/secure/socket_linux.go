package secure

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The loop's descriptors never block, so these are raw system calls: the
// runtime need not prepare for a thread that stays in the kernel.

// receive reads at least one byte, or returns errAgain, io.EOF or what went wrong.
func receive(fd int, b []byte) (int, error) {
	n, err := transfer(unix.SYS_RECVFROM, fd, b, 0)
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, err
}

// send writes what the socket takes; errAgain if that is nothing. What is sent
// with more to come, be it the stream's end, may wait for that in the kernel.
func send(fd int, b []byte, more bool) (int, error) {
	flags := uintptr(unix.MSG_NOSIGNAL)
	if more {
		flags |= unix.MSG_MORE
	}
	return transfer(unix.SYS_SENDTO, fd, b, flags)
}

func transfer(call uintptr, fd int, b []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
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

func shutdown(fd int, how uintptr) error {
	return call(unix.SYS_SHUTDOWN, uintptr(fd), how)
}

func closeDescriptor(fd int) error {
	return call(unix.SYS_CLOSE, uintptr(fd), 0)
}

func call(number, a, b uintptr) error {
	if _, _, errno := syscall.RawSyscall(number, a, b, 0); errno != 0 {
		return errno
	}
	return nil
}

// duplicate takes a descriptor out of the runtime's hands, which would make it
// blocking if it were asked for it. The duplicate is not registered anywhere.
func duplicate(from syscall.Conn) (fd int, err error) {
	raw, err := from.SyscallConn()
	if err != nil {
		return 0, err
	}
	var dupErr error
	err = raw.Control(func(theirs uintptr) {
		fd, dupErr = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(err, os.NewSyscallError("fcntl", dupErr))
}
