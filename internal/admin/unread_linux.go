package admin

import "syscall"

// hasUnread reports whether bytes have arrived on c that have not been read.
func (c *conn) hasUnread() bool {
	plain, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := plain.SyscallConn()
	if err != nil {
		return false // it is closed
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT) // n is -1 if there are none
	})
	return err == nil && n > 0
}
