package proxy

import (
	"net"
	"net/netip"

	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/socket"
)

// kernel is the loop's seam to the operating system. In production it is linux; a
// test puts an invented one in its place. Nothing in it ever blocks.
type kernel interface {
	// Poll returns what is ready now, without waiting, until the next call.
	Poll() ([]epoll.Event, error)
	// Max is the largest number of events that Poll returns at once.
	Max() int
	Add(fd int, t epoll.Token, want epoll.Ready) error
	Modify(fd int, t epoll.Token, want epoll.Ready) error
	Remove(fd int) error
	// Accept takes a client that has connected to a listener, and tells its address;
	// errAgain if there is none. Waiting reports whether there is one.
	Accept(ln *listener) (transport, netip.AddrPort, error)
	Waiting(ln *listener) bool
	// Connect begins a connection. How it comes out shows in its first Write, or by
	// Connected once it is writable. It returns errAgain if the endpoint has no room.
	Connect(to socket.Endpoint) (transport, error)
}

// transport is the loop's seam to one peer. Nothing in it ever blocks.
type transport interface {
	// FD is the descriptor to wait for.
	FD() int
	// Read takes at most so many bytes from the kernel, one or more, and puts what
	// they bring into b, which has room for readSize. It returns errAgain when nothing
	// is there, and io.EOF after the peer's end.
	Read(b []byte, most int) (int, error)
	// Write returns what was taken; errAgain if that is nothing at all.
	Write(b []byte) (int, error)
	// WriteLast is Write for the last bytes of our direction. The kernel may hold
	// them back for a moment, so that they leave in one segment with its end:
	// CloseWrite or Close must follow as soon as they are taken.
	WriteLast(b []byte) (int, error)
	// Position is where in the stream, as the peer's TCP counts its bytes, the next
	// Write begins when taken bytes of the callers' have been taken so far.
	Position(taken uint64) int64
	// Unacked, Unsent, Unread and LastACKs are what package socket says of FD.
	Unacked() int
	Unsent() int
	Unread() int
	LastACKs() socket.ACKs
	// Unlimit takes the bound on the kernel's waits away, see socket.LimitBackoff.
	Unlimit()
	// Connected tells how a connect that has become writable came out.
	Connected() error
	// CloseWrite ends our direction and leaves the peer's open.
	CloseWrite() error
	Close() error
	// Detach gives the connection to the standard library, for a goroutine
	// beside the loop. The transport must not be used any more, even on error.
	Detach() (net.Conn, error)
}
