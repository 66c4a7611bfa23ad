package socket

import (
	"time"

	"golang.org/x/sys/unix"
)

// Linux waits ever longer before it sends a lost segment again, up to this by itself.
const defaultBackoff = 2 * time.Minute // TCP_RTO_MAX in net/tcp.h

// LimitBackoff bounds the wait of a TCP socket, or of those that a listener accepts,
// in whole milliseconds; 0 leaves it as it is. Kernels before 6.15 do not know how, and
// go without.
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

// UnlimitBackoff takes the bound away. Nobody may close a socket with bytes that are
// still to be sent without that: once the wait has grown to the bound, the kernel
// gives up a socket that nobody has open and whose peer has no room, and resets it.
func UnlimitBackoff(fd int) {
	_ = LimitBackoff(fd, defaultBackoff) // a socket that refuses has no bound
}
