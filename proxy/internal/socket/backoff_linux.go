package socket

import "golang.org/x/sys/unix"

// Linux waits ever longer before it sends a lost segment again, up to this by itself.
const defaultBackoff = 120_000 // milliseconds: TCP_RTO_MAX in net/tcp.h

// LimitBackoff bounds the wait of a TCP socket, or of those that a listener accepts,
// to so many milliseconds; 0 leaves it as it is. Kernels before 6.15 do not know how, and
// go without.
func LimitBackoff(fd, milliseconds int) error {
	if milliseconds == 0 {
		return nil
	}
	err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, milliseconds)
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
