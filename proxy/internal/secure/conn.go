package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// ErrAborted is the result of a Handshake that Abort has ended.
var ErrAborted = errors.New("TLS handshake aborted")

// errAgain says that a descriptor is not ready. To crypto/tls it is a temporary
// net.Error, after which a read can be repeated.
var errAgain = socket.ErrAgain

// A Conn is one end of a TLS connection. It owns its descriptor.
type Conn struct {
	tls *tls.Conn // static; it sees the Conn as a *wire

	// Owned by whoever has the connection.
	fd      int
	lent    stream // the descriptor in the runtime's hands; nil while a loop has it
	buffer  *[bufferSize]byte
	unfed   []byte   // received and not given to crypto/tls yet
	record  record   // the one that crypto/tls is given now
	kept    []byte   // produced by crypto/tls and not taken by the socket yet
	owed    int      // bytes of Write's caller that are in kept and not reported as taken
	answers int      // bytes in kept that nobody but the peer has asked for
	sent    int64    // ciphertext that the socket has taken on the loop
	ended   error    // how the peer's stream ended; told once all before it is delivered
	broken  error    // why nothing more can be sent
	fresh   bool     // no Read since Adopt
	parting bool     // what is sent now is the last, and the stream's end follows
	scratch *Scratch // the loop's; nil without a loop

	sending sync.Mutex // guards kept, owed and broken while the connection is detached

	mu      sync.Mutex // guards what follows, and lent until settled
	aborted bool
	settled bool // the handshake has its outcome
}

// A stream is a descriptor that the runtime polls: *os.File during a handshake,
// a net.Conn after Detach.
type stream interface {
	io.ReadWriteCloser
	syscall.Conn
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Scratch holds the buffers of one loop, for all connections that have adopted
// it. Between two calls there is nothing in them. The zero value is ready.
type Scratch struct {
	in  [64 << 10]byte // ciphertext as received
	out []byte         // ciphertext to be sent; grows to a record or two, and stays
}

// Server makes the server's end of a TLS connection over a connected,
// non-blocking descriptor, from which early has been read already.
func Server(fd int, early []byte, config *tls.Config) *Conn {
	c := &Conn{fd: fd, unfed: early}
	c.tls = tls.Server((*wire)(c), config)
	return c
}

// Client makes the client's end of a TLS connection over a connected,
// non-blocking descriptor.
func Client(fd int, config *tls.Config) *Conn {
	c := &Conn{fd: fd}
	c.tls = tls.Client((*wire)(c), config)
	return c
}

// ConnectionState tells what the handshake has agreed on.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Handshake performs the TLS handshake. It blocks until the deadline at the
// most, and is for a goroutine beside the loop. On an error the descriptor is
// closed: os.ErrDeadlineExceeded after the deadline, ErrAborted after Abort,
// io.EOF if the peer has gone. FD may return another descriptor afterwards.
func (c *Conn) Handshake(deadline time.Time) error {
	if err := c.lend(deadline); err != nil {
		return err
	}
	err := c.tls.Handshake()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF // it is the same end, inside of a record
	}
	return c.reclaim(err)
}

// lend lends the descriptor to the runtime's poller for a handshake.
func (c *Conn) lend(deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	file := os.NewFile(uintptr(c.fd), "connection")
	err := file.SetDeadline(deadline)
	if c.aborted {
		err = ErrAborted
	}
	if err != nil {
		c.settled = true
		_ = file.Close() // the first error is the one to tell
		return err
	}
	c.lent = file
	return nil
}

// reclaim ends a handshake, whose outcome Abort cannot change any more from
// here on, and takes the descriptor back if it went well.
func (c *Conn) reclaim(err error) error {
	c.mu.Lock()
	file := c.lent
	c.lent = nil
	c.settled = true
	if c.aborted {
		err = ErrAborted
	}
	c.mu.Unlock()
	if err != nil {
		_ = file.Close() // as above
		return err
	}
	return c.takeBack(file)
}

// takeBack takes the descriptor out of the runtime's hands.
func (c *Conn) takeBack(from stream) (err error) {
	c.buffer = nil // what is left in it is in unfed
	c.fd, err = socket.Duplicate(from)
	_ = from.Close() // there is our duplicate, or an error to tell
	return err
}

// inThePast is a deadline that has passed whatever the clock says.
var inThePast = time.Unix(1, 0)

// Abort makes a Handshake that is under way, or has not begun yet, fail at once
// with ErrAborted. It may be called from any goroutine and any number of times.
// When it comes too late, which is when the handshake's outcome is settled
// though Handshake may not have returned yet, it does nothing: the outcome
// stands, and if that is success the Conn is still its owner's to close.
func (c *Conn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled {
		return
	}
	c.aborted = true
	if c.lent != nil {
		_ = c.lent.SetDeadline(inThePast) // it fails only if the descriptor is closed
	}
}

// Adopt hands the connection to the loop that owns s. The handshake, or whoever
// had it detached, may have read more than was wanted, and the kernel does not
// announce what it has given away: call Read once after Adopt.
func (c *Conn) Adopt(s *Scratch) {
	c.scratch = s
	c.fresh = true
}

// FD is the descriptor to wait for.
func (c *Conn) FD() int { return c.fd }

// Connected is for connections that are still being made, which this one is not.
func (c *Conn) Connected() error { return nil }

// Position is how much ciphertext the socket has taken: it is what the peer's TCP
// acknowledges. How many bytes of the callers' that is does not matter.
func (c *Conn) Position(uint64) int64 { return c.sent }

// Unacked is how much ciphertext the peer's TCP has not acknowledged, see package
// socket.
func (c *Conn) Unacked() int { return socket.Unacked(c.fd) }

// Unsent is how much of that the kernel has not sent even once.
func (c *Conn) Unsent() int { return socket.Unsent(c.fd) }

// Unread is how much ciphertext is still to be received.
func (c *Conn) Unread() int { return socket.Unread(c.fd) }

// Unlimit takes the bound on the kernel's waits away.
func (c *Conn) Unlimit() { socket.UnlimitBackoff(c.fd) }

// LastACKs is how the peer's TCP acknowledges.
func (c *Conn) LastACKs() socket.ACKs { return socket.LastACKs(c.fd) }

// CloseWrite sends close_notify, if the socket takes it, and ends our direction
// of the TCP connection. What a Write has left over is lost.
func (c *Conn) CloseWrite() error {
	c.parting = true
	c.notify()
	c.kept = nil
	c.broken = unix.EPIPE // as a socket has it after its shutdown
	return socket.Shutdown(c.fd, unix.SHUT_WR)
}

// Close sends close_notify if it can be sent now, and closes the descriptor.
func (c *Conn) Close() error {
	c.notify()
	return socket.Close(c.fd)
}

// notify tells the peer that our stream ends here, as one that lost nothing
// (RFC 8446 6.1). It is silent where that would be a lie, and after an error.
func (c *Conn) notify() {
	failed := c.broken != nil || c.ended != nil && c.ended != io.EOF
	if c.scratch == nil || c.owed > 0 || failed {
		return
	}
	c.scratch.out = c.scratch.out[:0]
	if c.tls.CloseWrite() == nil {
		_ = c.push(false) // there is nobody left who could do anything about it
	}
}
