package web

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
)

// Guest is a client's connection on which a request has come that is no upgrade.
// The embedded connection must have deadlines that work.
type Guest struct {
	net.Conn
	// Early is what has been read of it already: the request's head and whatever
	// came behind it.
	Early []byte
	// From is who sends, for logs and for the upstream; the zero AddrPort is the
	// peer of a unix socket.
	From netip.AddrPort
	// Anonymous: see forwarded.Hop.
	Anonymous bool
	// Account is whom the connection counts for, for YieldOf; the zero Addr is
	// nobody. The Server makes it that when YieldOf closes the connection.
	Account netip.Addr
	// TLS says that the client speaks TLS, which has been taken off here.
	TLS bool

	// Owned by the connection's goroutine.
	answering bool // see Server.changed
	requests  int  // so far

	idlers  *idlers     // where it waits for its next request; set by Serve
	waiting waiting     // guarded by idlers.mu
	idle    atomic.Bool // waiting says so; written under idlers.mu
	expired atomic.Bool // it was closed to make room

	leaving sync.Once // guards against a second farewell
}

// Read gives Early first. Like the connection's own, it is for one goroutine at
// a time.
func (g *Guest) Read(b []byte) (int, error) {
	if len(g.Early) == 0 {
		return g.read(b)
	}
	n := copy(b, g.Early)
	if g.Early = g.Early[n:]; len(g.Early) == 0 {
		g.Early = nil // lets go of the memory behind it: the connection may stay for long
	}
	return n, nil
}

// read reads from the connection. A guest from which something comes is not idle
// any more, though net/http calls it so until the whole head is there.
func (g *Guest) read(b []byte) (int, error) {
	if g.expired.Load() { // net/http may have set a deadline after expire
		return 0, os.ErrDeadlineExceeded
	}
	n, err := g.Conn.Read(b)
	if n > 0 && g.idle.Load() {
		g.idlers.remove(g)
	}
	return n, err
}

// CloseWrite ends our direction, so that a client that still sends can read
// its answer.
func (g *Guest) CloseWrite() error {
	half, ok := g.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil // Close will have to do
	}
	return half.CloseWrite()
}

// name is how the client is called in logs.
func (g *Guest) name() string {
	switch {
	case !g.From.IsValid():
		return "unix"
	case g.From.Port() == 0:
		return g.From.Addr().String()
	default:
		return g.From.String()
	}
}

// A door lets one guest in and is shut behind it. http.Server.Serve, called
// with it, starts the connection's goroutine and returns.
type door struct {
	guest *Guest
	shut  bool
}

func (d *door) Accept() (net.Conn, error) {
	if d.shut {
		return nil, io.EOF
	}
	d.shut = true
	return d.guest, nil
}

func (d *door) Close() error   { return nil }
func (d *door) Addr() net.Addr { return d.guest.LocalAddr() }
