package proxy

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// errAgain means that a descriptor is not ready.
var errAgain = socket.ErrAgain

// bare is the transport of a connection without TLS: a non-blocking descriptor.
type bare int

func (s bare) FD() int { return int(s) }

func (s bare) Read(into []byte, most int) (int, error) {
	return socket.Receive(int(s), into[:min(len(into), most)])
}

func (s bare) Write(p []byte) (int, error)     { return socket.Send(int(s), p, false) }
func (s bare) WriteLast(p []byte) (int, error) { return socket.Send(int(s), p, true) }

func (s bare) Position(taken uint64) int64 { return int64(taken) }
func (s bare) Unacked() int                { return socket.Unacked(int(s)) }
func (s bare) Unsent() int                 { return socket.Unsent(int(s)) }
func (s bare) Unread() int                 { return socket.Unread(int(s)) }
func (s bare) LastACKs() socket.ACKs       { return socket.LastACKs(int(s)) }
func (s bare) Unlimit()                    { socket.UnlimitBackoff(int(s)) }
func (s bare) Outlast()                    { socket.SetUserTimeout(int(s), 0) }

func (s bare) Connected() error  { return socket.Connected(int(s)) }
func (s bare) CloseWrite() error { return socket.Shutdown(int(s), unix.SHUT_WR) }
func (s bare) Close() error      { return socket.Close(int(s)) }

// Detach gives the standard library a duplicate of the descriptor and closes ours. The
// standard library closes without socket.Close, so the bound on the kernel's wait is
// removed here.
func (s bare) Detach() (net.Conn, error) {
	socket.UnlimitBackoff(int(s))
	f := os.NewFile(uintptr(s), "socket")
	defer f.Close()
	return net.FileConn(f)
}

// attachBare takes a connection back that Detach gave away.
func attachBare(c net.Conn) (bare, error) {
	defer c.Close()
	fd, err := socket.Duplicate(c.(syscall.Conn))
	return bare(fd), err
}
