package secure

import (
	"net"
	"os"
	"syscall"

	"holdfast/proxy/internal/socket"
)

// detached is a Conn that the standard library has: it blocks, has addresses and
// deadlines, and may be read and written at the same time.
type detached struct {
	net.Conn // the descriptor, without TLS
	conn     *Conn
}

// Detach takes the connection off its loop. The net.Conn goes on where the loop
// was: it delivers first what has been received, and sends first what was kept.
// If the last Write has left bytes over, the net.Conn's first must begin with
// them. It has a CloseWrite too. The Conn must not be used any more, unless
// Attach brings it back; on an error the descriptor is closed.
func (c *Conn) Detach() (net.Conn, error) {
	socket.UnlimitBackoff(c.fd)
	file := os.NewFile(uintptr(c.fd), "connection")
	defer file.Close() // the standard library makes a duplicate
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	c.lent = conn.(stream) // so are all connections that a descriptor can be
	c.scratch = nil
	return &detached{Conn: conn, conn: c}, nil
}

// Attach is the way back from Detach: the Conn of a net.Conn that came from
// there, to be given to a loop with Adopt. Nobody may be reading or writing the
// net.Conn, which is not to be used afterwards; if its descriptor cannot be
// taken back, it is closed and err says why. Another net.Conn is not ours, and
// nothing happens to it.
func Attach(nc net.Conn) (c *Conn, ours bool, err error) {
	a, ours := nc.(*detached)
	if !ours {
		return nil, false, nil
	}
	c = a.conn
	from := c.lent
	c.lent = nil
	if err := c.takeBack(from); err != nil {
		return nil, true, err
	}
	return c, true, nil
}

// Read reads decrypted bytes.
func (a *detached) Read(b []byte) (int, error) { return a.conn.tls.Read(b) }

// Write encrypts and writes b, but for what a Write on the loop has encrypted.
func (a *detached) Write(b []byte) (int, error) {
	done, err := a.conn.repay(len(b))
	if err != nil {
		return 0, err
	}
	n, err := a.conn.tls.Write(b[done:])
	return done + n, err
}

// repay writes what is kept if the loop's last Write has left bytes over, and
// returns how many of the n bytes that come now are the same.
func (c *Conn) repay(n int) (done int, err error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.owed == 0 {
		return 0, nil
	}
	if err := (*wire)(c).flush(); err != nil {
		return 0, err
	}
	done = min(c.owed, n)
	c.owed -= done
	return done, nil
}

// SyscallConn is for those who want to know more of the descriptor.
func (a *detached) SyscallConn() (syscall.RawConn, error) { return a.Conn.(syscall.Conn).SyscallConn() }

// CloseWrite sends close_notify and ends our direction of the TCP connection.
func (a *detached) CloseWrite() error {
	if err := a.conn.tls.CloseWrite(); err != nil {
		return err
	}
	return a.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// Close sends close_notify and closes the descriptor.
func (a *detached) Close() error { return a.conn.tls.Close() }
