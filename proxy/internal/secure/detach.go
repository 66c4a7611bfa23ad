package secure

import (
	"net"
	"os"
	"syscall"

	"holdfast/proxy/internal/socket"
)

// detached is a Conn that the standard library has. It blocks, has addresses and
// deadlines, and may be read and written at the same time.
type detached struct {
	net.Conn // the descriptor, without TLS
	conn     *Conn
}

// Detach takes the connection off its loop. The net.Conn continues where the loop
// stopped: it delivers first what has been received, and sends first what was kept. If
// the last Write has left bytes over, the first Write of the net.Conn must begin with
// them. The net.Conn also has a CloseWrite method. The Conn must not be used any more,
// unless Attach takes it back. On an error the descriptor is closed.
func (c *Conn) Detach() (net.Conn, error) {
	socket.UnlimitBackoff(c.fd)
	file := os.NewFile(uintptr(c.fd), "connection")
	defer file.Close() // the standard library makes a duplicate
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	c.lent = conn.(stream) // all types that net.FileConn returns are streams
	c.scratch = nil
	return &detached{Conn: conn, conn: c}, nil
}

// Attach reverses Detach: it returns the Conn of a net.Conn that Detach returned, for a
// loop to Adopt. No Read or Write of the net.Conn may be under way, and it must not be
// used afterwards. If its descriptor cannot be taken back, it is closed and err says why.
// ours is false for any other net.Conn, to which Attach does nothing.
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

// Write encrypts and writes b, without the bytes at its start that a Write on the loop
// has already encrypted.
func (a *detached) Write(b []byte) (int, error) {
	done, err := a.conn.repay(len(b))
	if err != nil {
		return 0, err
	}
	n, err := a.conn.tls.Write(b[done:])
	return done + n, err
}

// repay writes what is kept, if the loop's last Write has left bytes over. It returns how
// many of the caller's next n bytes are those.
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

// SyscallConn gives access to the descriptor.
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
