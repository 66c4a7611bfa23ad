package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/secure"
	"holdfast/proxy/internal/socket"
	"holdfast/proxy/internal/web"
)

// kernel is the loop's seam to the operating system. In production it is linux; tests
// replace it. None of its methods blocks.
type kernel interface {
	// Poll returns what is ready now, without waiting. The events are valid until the
	// next call.
	Poll() ([]epoll.Event, error)
	// Max is the largest number of events that Poll returns at once.
	Max() int
	Add(fd int, t epoll.Token, want epoll.Ready) error
	Modify(fd int, t epoll.Token, want epoll.Ready) error
	Remove(fd int) error
	// Accept accepts a connection of a listening socket and returns the client's address,
	// or errAgain if no client waits. shared says that other processes accept from the
	// socket too, see socket.AcceptShared.
	Accept(fd int, shared bool) (transport, netip.AddrPort, error)
	// Waiting reports whether a client waits to be accepted.
	Waiting(fd int) bool
	// Connect starts a connection. Its outcome shows in the first Write, or in Connected
	// once the connection is writable. Connect returns errAgain if the endpoint's queue
	// is full.
	Connect(to socket.Endpoint) (transport, error)
	// ServeTLS returns conn, a connection to a client from which hello has been read,
	// with TLS. AskTLS does the same for a connection to an upstream. conn must not be
	// used afterwards.
	ServeTLS(conn transport, hello []byte, config *tls.Config) secured
	AskTLS(conn transport, config *tls.Config) secured
}

// A world holds what all loops use from outside the proxy.
type world struct {
	// clock is the clock of all loops.
	clock clock
	// beside runs a job that may block, such as a TLS handshake, a lookup or a relay. The
	// job returns its result to the loop by post.
	beside func(job func())
	// after runs a job that may block, such as a check, when some time has passed.
	after func(d time.Duration, job func())
	// random returns random numbers that decide nothing but which upstream a request goes to
	// and when a check is made. Any goroutine may call it.
	random func() uint64
	// probe makes the checks of upstreams; nil means that package backend makes them.
	probe func(*backend.Target) error
	// attach takes back a connection that a transport's Detach gave away.
	attach func(net.Conn) (transport, error)
	// ids is a number below the ids of all handshakes. It differs from start to start.
	ids uint64
}

// guests is the seam to the server of pages, which runs beside the loops. In production
// it is a web.Server. None of its methods blocks, except Shutdown.
type guests interface {
	Serve(g *web.Guest)
	Idle() int
	Yield() bool
	YieldOf(account netip.Addr) bool
	Retire()
	Shutdown(ctx context.Context) (cut int)
}

// secured is a connection with TLS. Its Handshake blocks, so it is a job for beside.
// Until Handshake has returned, the loop may call only Abort.
type secured interface {
	transport
	// Handshake performs the TLS handshake. On an error or a panic it closes the
	// connection.
	Handshake(deadline time.Time) error
	// Abort makes Handshake fail soon.
	Abort()
	// Adopt gives the connection to the loop that owns the scratch.
	Adopt(*secure.Scratch)
}

// transport is the loop's seam to one peer. None of its methods blocks.
type transport interface {
	// FD is the descriptor to wait for.
	FD() int
	// Read receives at most most bytes from the kernel and puts into b what they carry.
	// most is at least 1, and b has room for readSize. Read returns errAgain if nothing
	// is there, and io.EOF after the peer's end.
	Read(b []byte, most int) (int, error)
	// Write returns how many bytes were taken, or errAgain if none was.
	Write(b []byte) (int, error)
	// WriteLast is Write for the last bytes of our direction. The kernel may hold them
	// back for a moment, so that they leave in one segment with the end of the stream.
	// CloseWrite or Close must follow as soon as all are taken.
	WriteLast(b []byte) (int, error)
	// Position returns where the next Write begins, in bytes as the peer's TCP counts
	// them. taken is how many bytes of the callers' have been taken so far.
	Position(taken uint64) int64
	// Unacked, Unsent, Unread and LastACKs are those of package socket, for FD.
	Unacked() int
	Unsent() int
	Unread() int
	LastACKs() socket.ACKs
	// Unlimit removes the bound on the kernel's retransmission wait, see
	// socket.LimitBackoff.
	Unlimit()
	// Outlast removes the user timeout. The kernel counts it on for as long as the peer's
	// window is smaller than the segment that is to be sent, though the peer takes some
	// bytes all the time: it would reset the connection of a program that reads slowly.
	Outlast()
	// Connected returns the outcome of a connect once the connection is writable.
	Connected() error
	// CloseWrite ends our direction and leaves the peer's direction open.
	CloseWrite() error
	// Close closes the descriptor, even if it returns an error or panics. The transport
	// must not be used afterwards.
	Close() error
	// Detach gives the connection to the standard library, for a goroutine beside the
	// loop. The transport must not be used afterwards, even after an error or a panic:
	// then its descriptor is closed.
	Detach() (net.Conn, error)
}
