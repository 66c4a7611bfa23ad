package socket

import (
	"time"

	"golang.org/x/sys/unix"
)

// defaultBackoff is the kernel's own bound on its wait before it retransmits a lost
// segment. The wait grows up to the bound.
const defaultBackoff = 2 * time.Minute // TCP_RTO_MAX in net/tcp.h

// LimitBackoff bounds the wait before a TCP socket retransmits a lost segment, in whole
// milliseconds. Connections that a listener accepts inherit the bound. 0 leaves the bound
// unchanged. Kernels before 6.15 do not have the option; LimitBackoff does nothing there.
func LimitBackoff(fd int, longest time.Duration) error {
	milliseconds := int32(longest / time.Millisecond)
	if milliseconds == 0 {
		return nil
	}
	err := setTCPOption(fd, unix.TCP_RTO_MAX_MS, milliseconds)
	if err == unix.ENOPROTOOPT || err == unix.EOPNOTSUPP { // an old kernel, or a unix socket
		return nil
	}
	return err
}

// UnlimitBackoff removes the bound. A socket with unsent bytes must not be closed with a
// bound: when the wait has grown to the bound, the kernel gives up a closed socket whose
// peer has no room, and resets its connection.
func UnlimitBackoff(fd int) {
	_ = LimitBackoff(fd, defaultBackoff) // a socket that refuses the option has no bound
}
