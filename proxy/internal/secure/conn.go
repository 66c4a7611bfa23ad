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

// ErrAborted is the error of a Handshake that Abort has ended.
var ErrAborted = errors.New("TLS handshake aborted")

// errPanicked is the outcome of a handshake in which crypto/tls has panicked.
var errPanicked = errors.New("the TLS handshake panicked")

// errAgain means that a descriptor is not ready. For crypto/tls it is a temporary
// net.Error, after which a read can be repeated.
var errAgain = socket.ErrAgain

// A Conn is one end of a TLS connection. It owns its descriptor.
type Conn struct {
	tls *tls.Conn // static; its net.Conn is this Conn as a *wire

	// Owned by the connection's present owner, see the package's doc.
	fd      int
	lent    stream // the descriptor, while the runtime polls it; nil while a loop has it
	buffer  *[bufferSize]byte
	unfed   []byte   // received, and not given to crypto/tls yet
	record  record   // the record that crypto/tls is reading
	kept    []byte   // written by crypto/tls, and not taken by the socket yet
	owed    int      // bytes of Write's caller that are in kept and are not reported as taken
	answers int      // bytes in kept that only the peer has asked for, see answer
	sent    int64    // bytes of ciphertext that the socket has taken on the loop
	ended   error    // how the peer's stream ended; Read returns it after all bytes before it
	broken  error    // the error of the send that failed; nothing more can be sent
	fresh   bool     // no Read since Adopt
	parting bool     // the next bytes are the last, and the end of the stream follows
	scratch *Scratch // the loop's; nil while no loop has the connection

	sending sync.Mutex // while the connection is detached: guards kept, owed and broken

	mu      sync.Mutex // guards the fields below, and lent until settled
	aborted bool
	settled bool // the handshake has its outcome
}

// A stream is a descriptor that the runtime polls: an *os.File during a handshake, a
// net.Conn after Detach.
type stream interface {
	io.ReadWriteCloser
	syscall.Conn
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Scratch holds the buffers of one loop, for all connections that the loop has adopted.
// Between two calls they are empty. The zero value is ready.
type Scratch struct {
	in  [64 << 10]byte // ciphertext as received
	out []byte         // ciphertext to send; grows to a record or two and is never freed
}

// Server returns the server's end of a TLS connection. fd must be connected and
// non-blocking; early is what has been read from it already.
func Server(fd int, early []byte, config *tls.Config) *Conn {
	c := &Conn{fd: fd, unfed: early}
	c.tls = tls.Server((*wire)(c), config)
	return c
}

// Client returns the client's end of a TLS connection. fd must be connected and
// non-blocking.
func Client(fd int, config *tls.Config) *Conn {
	c := &Conn{fd: fd}
	c.tls = tls.Client((*wire)(c), config)
	return c
}

// ConnectionState returns what the handshake agreed on.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Handshake performs the TLS handshake. It blocks until the deadline at most, so it needs
// a goroutine beside the loop. On an error the descriptor is closed. The error is
// os.ErrDeadlineExceeded after the deadline, ErrAborted after Abort, and io.EOF if the
// peer has gone. FD may return another descriptor afterwards. After a panic the
// descriptor is closed too.
func (c *Conn) Handshake(deadline time.Time) (err error) {
	if err := c.lend(deadline); err != nil {
		return err
	}
	err = errPanicked
	defer func() { err = c.reclaim(err) }()
	err = c.tls.Handshake()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF // the peer has gone inside a record
	}
	return err
}

// lend gives the descriptor to the runtime's poller for a handshake.
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
		_ = file.Close() // err is the error to return
		return err
	}
	c.lent = file
	return nil
}

// reclaim settles the outcome of a handshake, after which Abort does nothing, and takes
// the descriptor back if the handshake succeeded.
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
		_ = file.Close() // the handshake's error is the one to return
		return err
	}
	return c.takeBack(file)
}

// takeBack takes a duplicate of the descriptor and closes the runtime's.
func (c *Conn) takeBack(from stream) (err error) {
	c.buffer = nil // unfed keeps the bytes of it that were not read
	c.fd, err = socket.Duplicate(from)
	_ = from.Close() // either the duplicate is ours, or err is returned
	return err
}

// inThePast is a deadline that has passed, whatever the clock says.
var inThePast = time.Unix(1, 0)

// Abort makes a Handshake that is under way, or that has not begun, fail at once with
// ErrAborted. It may be called from any goroutine and any number of times. Once the
// handshake's outcome is settled, Abort does nothing, even if Handshake has not returned
// yet. If that outcome is success, the owner must still close the Conn.
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

// Adopt gives the connection to the loop that owns s. More may have been read before than
// was used, and the kernel does not report bytes that it has given away. So call Read
// once after Adopt.
func (c *Conn) Adopt(s *Scratch) {
	c.scratch = s
	c.fresh = true
}

// FD returns the descriptor to wait for.
func (c *Conn) FD() int { return c.fd }

// Connected returns nil: the connection was made before the Conn.
func (c *Conn) Connected() error { return nil }

// Position returns how much ciphertext the socket has taken, which is what the peer's TCP
// acknowledges. The callers' bytes do not matter.
func (c *Conn) Position(uint64) int64 { return c.sent }

// Unacked returns how much ciphertext the peer's TCP has not acknowledged, see
// socket.Unacked.
func (c *Conn) Unacked() int { return socket.Unacked(c.fd) }

// Unsent returns how much ciphertext the kernel has not sent even once.
func (c *Conn) Unsent() int { return socket.Unsent(c.fd) }

// Unread returns how much ciphertext has arrived and has not been received.
func (c *Conn) Unread() int { return socket.Unread(c.fd) }

// Unlimit removes the bound on the kernel's retransmission wait.
func (c *Conn) Unlimit() { socket.UnlimitBackoff(c.fd) }

// Outlast removes the user timeout.
func (c *Conn) Outlast() { socket.SetUserTimeout(c.fd, 0) }

// LastACKs returns how the peer's TCP acknowledges.
func (c *Conn) LastACKs() socket.ACKs { return socket.LastACKs(c.fd) }

// CloseWrite sends close_notify, if the socket takes it, and ends our direction of the
// TCP connection. Bytes that a Write left over are lost.
func (c *Conn) CloseWrite() error {
	c.parting = true
	c.notify()
	c.kept = nil
	c.broken = unix.EPIPE // the error of a socket after its shutdown
	return socket.Shutdown(c.fd, unix.SHUT_WR)
}

// Close sends close_notify if it can be sent now, and closes the descriptor, even if
// crypto/tls panics.
func (c *Conn) Close() (err error) {
	defer func() { err = socket.Close(c.fd) }()
	c.notify()
	return nil
}

// notify sends close_notify: our stream ends here and nothing of it is lost (RFC 8446
// 6.1). It sends nothing if bytes of a Write are lost, or after an error.
func (c *Conn) notify() {
	failed := c.broken != nil || c.ended != nil && c.ended != io.EOF
	if c.scratch == nil || c.owed > 0 || failed {
		return
	}
	c.scratch.out = c.scratch.out[:0]
	if c.tls.CloseWrite() == nil {
		_ = c.push(false) // nothing can be done about an error
	}
}
