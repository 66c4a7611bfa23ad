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
	if err := o.applyKeepAlive(fd); err != nil {
		return os.NewSyscallError("setsockopt SO_KEEPALIVE", err)
	}
	if userTimeout := o.userTimeout(); userTimeout != 0 {
		return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", setTCPOption(fd, unix.TCP_USER_TIMEOUT, userTimeout))
	}
	return nil
}

// SetUserTimeout changes the UserTimeout of a TCP socket; 0 means the kernel's default. A
// unix socket has none.
func SetUserTimeout(fd int, limit time.Duration) {
	_ = setTCPOption(fd, unix.TCP_USER_TIMEOUT, Options{UserTimeout: limit}.userTimeout()) // it fails on a unix socket
}

func (o Options) userTimeout() int32 { return int32(o.UserTimeout / time.Millisecond) }

// applyKeepAlive sets after how much silence a peer is probed, how often, and how many
// probes it may leave unanswered: four, within as long again. Where there is a
// UserTimeout the kernel does not count probes: it gives a peer up that has answered
// none when that time is over (tcp(7)). So the count is not set there.
func (o Options) applyKeepAlive(fd int) error {
	const probes = 4
	silence := int32(o.KeepAlive / time.Second)
	if silence == 0 {
		return nil
	}
	err := errors.Join(
		setOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		setTCPOption(fd, unix.TCP_KEEPIDLE, silence),
		setTCPOption(fd, unix.TCP_KEEPINTVL, max(1, silence/probes)),
	)
	if o.userTimeout() == 0 {
		err = errors.Join(err, setTCPOption(fd, unix.TCP_KEEPCNT, probes))
	}
	return err
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
