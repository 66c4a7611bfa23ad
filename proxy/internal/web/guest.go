package web

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/proxy/internal/upgrade"
)

// Guest is a client's connection on which a request has come that is not an upgrade.
// The embedded connection must have deadlines that work.
type Guest struct {
	net.Conn
	// Early is what has been read of it already: the request's head and all that
	// came behind it.
	Early []byte
	// From is who sends, for logs and for the upstream; the zero AddrPort is the
	// peer of a unix socket.
	From netip.AddrPort
	// Anonymous: see forwarded.Hop.
	Anonymous bool
	// Account is the address that the connection counts for, for YieldOf; the zero
	// Addr is nobody. The Server sets it to that when YieldOf closes the connection.
	Account netip.Addr
	// TLS says that the client speaks TLS, which has been taken off here.
	TLS bool

	// Owned by the connection's goroutine.
	requests int       // so far
	headBy   time.Time // when a head that has begun must be whole; zero if none is being read
	late     bool      // the head was not whole by then, and the client has been told
	ahead    bool      // the next head has begun before the answer to this one was over
	heads    recorder

	idlers   *idlers       // where it waits for its next request; set by Serve
	headTime time.Duration // how long a head may take from its first byte on; set by Serve
	waiting  waiting       // guarded by idlers.mu

	answers   *atomic.Int64 // guests whose answering is true; set by Serve
	answering atomic.Bool   // it has a request that is not answered wholly

	inHandler atomic.Bool               // its request's handler runs, and bounds all waits; see waits.go
	endBy     atomic.Pointer[time.Time] // when what follows an answer must be over; nil between requests

	progress atomic.Pointer[progress] // of the request that is being passed on; nil if none is
	writing  atomic.Bool              // the client is to take what is written
	idle     atomic.Bool              // whether waiting has a place; written under idlers.mu
	expired  atomic.Bool              // it is closed to make room; written under idlers.mu before idle is

	leaving sync.Once // guards against a second farewell
}

// Read gives Early first. Like the connection's own, it is for one goroutine at
// a time.
func (g *Guest) Read(b []byte) (int, error) {
	if g.afterAnswer() != nil { // net/http reads on when the answer is written
		g.setAnswering(false)
	}
	if len(g.Early) == 0 {
		return g.read(b)
	}
	n := copy(b, g.Early)
	g.heads.add(b[:n])
	if g.Early = g.Early[n:]; len(g.Early) == 0 {
		g.Early = nil // lets go of the memory behind it: the connection may stay for long
	}
	return n, nil
}

// read reads from the connection. A guest that sends something is not idle any more,
// though net/http calls it so until the whole head is there. What it sends after it
// has given way is not read.
func (g *Guest) read(b []byte) (int, error) {
	if g.late || g.expired.Load() { // net/http may have set a deadline after expire, and reads on after a late head
		return 0, os.ErrDeadlineExceeded
	}
	if !g.headBy.IsZero() { // net/http counts from the fourth byte on
		_ = g.Conn.SetReadDeadline(g.headBy) // it fails only on a closed connection
	}
	n, err := g.Conn.Read(b)
	switch {
	case n == 0:
	case g.idle.Load():
		g.idlers.remove(g)
		g.beginHead()
	case len(b) == 1: // net/http waits like that, during an answer, for the client to leave
		g.ahead = true
		g.heads.start()
	}
	g.heads.add(b[:n])
	if g.expired.Load() { // in this order: see expired
		return 0, os.ErrDeadlineExceeded
	}
	if !g.headBy.IsZero() && errors.Is(err, os.ErrDeadlineExceeded) {
		g.tellLate()
	}
	return n, err
}

// beginHead gives the head whose first byte has come its time.
func (g *Guest) beginHead() { g.headBy = time.Now().Add(g.headTime) }

var refuseSlowHead = &upgrade.Refusal{
	Status: http.StatusRequestTimeout,
	Reason: "The request head did not come in time.",
}

// tellLate answers a head that did not come in time: net/http would call it malformed,
// or say nothing.
func (g *Guest) tellLate() {
	_ = g.Conn.SetWriteDeadline(time.Now().Add(g.headTime)) // it fails only on a closed connection
	_, _ = g.Conn.Write(refuseSlowHead.Append(nil))         // a client that is gone need not be told
	g.late = true
}

// Write is the connection's, until the last word has been said.
func (g *Guest) Write(b []byte) (int, error) {
	if g.late {
		return len(b), nil
	}
	g.boundWrite()
	g.writing.Store(true)
	n, err := g.Conn.Write(b)
	g.writing.Store(false)
	if p := g.progress.Load(); p != nil {
		p.move(n)
	}
	return n, err
}

// headIsRead notes that a head is whole, or given up.
func (g *Guest) headIsRead() {
	if !g.headBy.IsZero() {
		g.headBy = time.Time{}
		_ = g.SetReadDeadline(time.Time{}) // as net/http has asked for; it fails only on a closed connection
	}
}

// CloseWrite ends our direction. A client that still sends can then read its answer.
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
