package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/secure"
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
	// Accept takes a client that has connected to a listening socket, and returns the
	// client's address. It returns errAgain if there is none. shared says that other
	// processes accept on the socket, too: see socket.AcceptShared.
	Accept(fd int, shared bool) (transport, netip.AddrPort, error)
	// Waiting reports whether a client has connected that nobody has accepted yet.
	Waiting(fd int) bool
	// Connect begins a connection. How it comes out shows in its first Write, or by
	// Connected once it is writable. It returns errAgain if the endpoint has no room.
	Connect(to socket.Endpoint) (transport, error)
	// ServeTLS and AskTLS put TLS around a connection to a client, of which hello has been
	// read, and to an upstream. The connection must not be used any more.
	ServeTLS(conn transport, hello []byte, config *tls.Config) secured
	AskTLS(conn transport, config *tls.Config) secured
}

// A world is what all loops share of the world outside.
type world struct {
	// clock is the time that the loops go by.
	clock clock
	// beside runs a job that may block: a TLS handshake, a lookup, a probe, a response on its
	// way. What the job finds out comes back to its loop by post.
	beside func(job func())
}

// secured is a connection with TLS. Its handshake blocks, and so is a job for beside.
// Until the handshake has ended, Abort is all that the loop may call.
type secured interface {
	transport
	// Handshake returns nil, or closes the connection and says why.
	Handshake(deadline time.Time) error
	// Abort makes Handshake fail soon.
	Abort()
	// Adopt makes the connection one of the loop's, whose scratch it uses.
	Adopt(*secure.Scratch)
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
