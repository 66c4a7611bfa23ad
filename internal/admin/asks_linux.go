package admin

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hasUnread reports whether bytes have arrived on c that have not been read.
func (c *conn) hasUnread() (has bool) {
	c.ask(func(fd int) {
		n, _, _ := syscall.Recvfrom(fd, make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT) // n is -1 if there are none
		has = n > 0
	})
	return has
}

// unsent returns how many bytes the kernel could not send yet, since the client has no room
// for them. It is 0 if that cannot be known.
func (c *conn) unsent() (n int) {
	c.ask(func(fd int) {
		var err error
		if n, err = unix.IoctlGetInt(fd, unix.SIOCOUTQNSD); err != nil {
			n = 0
		}
	})
	return n
}

// ask calls about with the descriptor of c, unless c is closed or has none.
func (c *conn) ask(about func(fd int)) {
	plain, ok := c.Conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := plain.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { about(int(fd)) }) // it fails only if c is closed
}
