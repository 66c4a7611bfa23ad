package socket

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Options are set on a TCP listener, whose connections inherit them on Linux, and on
// every TCP connection that Connect makes. TCP_NODELAY is always set.
type Options struct {
	// UserTimeout is the kernel's limit on unacknowledged data, in whole
	// milliseconds. 0 leaves the kernel's default.
	UserTimeout time.Duration
	// RTOMax is the longest wait before the kernel retransmits a lost segment, in whole
	// milliseconds. 0 leaves the kernel's default.
	RTOMax time.Duration
	// KeepAlive is how long a peer may be silent before the kernel probes it, in whole
	// seconds. 0 means that the kernel never probes.
	KeepAlive time.Duration
}

// Apply sets the options on a TCP socket.
func (o Options) Apply(fd int) error {
	if err := setTCPOption(fd, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	if err := LimitBackoff(fd, o.RTOMax); err != nil {
		return os.NewSyscallError("setsockopt TCP_RTO_MAX_MS", err)
	}
	if keepAlive := int32(o.KeepAlive / time.Second); keepAlive != 0 {
		const probes = 4 // left unanswered, over another KeepAlive, they end the connection
		err := errors.Join(
			setOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
			setTCPOption(fd, unix.TCP_KEEPIDLE, keepAlive),
			setTCPOption(fd, unix.TCP_KEEPINTVL, max(1, keepAlive/probes)),
			setTCPOption(fd, unix.TCP_KEEPCNT, probes),
		)
		if err != nil {
			return os.NewSyscallError("setsockopt SO_KEEPALIVE", err)
		}
	}
	if userTimeout := int32(o.UserTimeout / time.Millisecond); userTimeout != 0 {
		return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", setTCPOption(fd, unix.TCP_USER_TIMEOUT, userTimeout))
	}
	return nil
}

func setTCPOption(fd int, option uintptr, value int32) error {
	return setOption(fd, unix.IPPROTO_TCP, option, value)
}

func setOption(fd int, level, option uintptr, value int32) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), level, option,
		uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
