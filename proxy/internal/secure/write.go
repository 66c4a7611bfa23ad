package secure

import (
	"bytes"

	"holdfast/proxy/internal/socket"
)

const (
	// maxWrite is what is encrypted at once: the most that one record holds (RFC
	// 8446 5.1). The socket is asked after each, so no more than that is ever kept.
	maxWrite = 16 << 10
	// maxRest is what goes with the last record rather than by a system call of its
	// own: a message of 16 KiB has a frame header before it.
	maxRest = 512
)

// Write encrypts b and sends it, a record at a time for as long as the socket
// takes all. It returns how much of b was taken; unix.EAGAIN if that is nothing.
//
// What is encrypted must be sent, so what the socket leaves of a record is kept
// here. Meanwhile Write reports bytes as taken in step with the socket, but never
// the last one: n < len(b) until all is in the kernel. The next Write must be of
// the bytes that were left over, with or without more behind them; it goes on with
// the sending, and encrypts only what is new.
func (c *Conn) Write(b []byte) (int, error) {
	if len(b) < c.owed {
		panic("secure: Write without the bytes that the last one left over")
	}
	c.scratch.out = c.scratch.out[:0]
	taken, err := c.advance(false)
	for err == nil && len(c.kept) == 0 && taken < len(b) {
		var n int
		n, err = c.encrypt(b[taken:])
		taken += n
	}
	if err == nil && taken == 0 {
		err = errAgain
	}
	return taken, err
}

// WriteLast is Write for the last bytes of our direction: see CloseWrite. They may
// be held back in the kernel until it or Close is called.
func (c *Conn) WriteLast(b []byte) (int, error) {
	c.parting = true
	return c.Write(b)
}

// encrypt encrypts the first record of b and sends it. Nothing is kept from
// before. If more records follow, the kernel may hold this one's end back until
// they do, so that segments are as full as if all were sent at once.
func (c *Conn) encrypt(b []byte) (int, error) {
	more := len(b) > maxWrite+maxRest
	if more {
		b = b[:maxWrite]
	}
	c.scratch.out = c.scratch.out[:0]
	if _, err := c.tls.Write(b); err != nil {
		return 0, err
	}
	c.owed = len(b)
	return c.advance(more)
}

// advance sends what there is, and returns how many of the bytes owed have
// become taken by that.
func (c *Conn) advance(more bool) (int, error) {
	before := len(c.kept) + len(c.scratch.out)
	if err := c.push(more); err != nil {
		return 0, err
	}
	left := stillOwed(c.owed, before, len(c.kept))
	taken := c.owed - left
	c.owed = left
	return taken, nil
}

// stillOwed is how much of what was owed is to be reported later, when kept has
// shrunk from before to after: a like part of it, one byte at least, and nothing
// once all ciphertext is gone.
func stillOwed(owed, before, after int) int {
	if after == 0 {
		return 0
	}
	return min(owed, max(1, owed*after/before))
}

// push sends what is kept, and behind it what crypto/tls has produced, with one
// system call. It keeps what the socket does not take. more says that another
// push follows at once.
func (c *Conn) push(more bool) error {
	if c.broken != nil {
		return c.broken
	}
	out := c.scratch.out
	if len(c.kept) > 0 {
		c.kept = append(c.kept, out...)
		out = c.kept
	}
	if len(out) == 0 {
		return nil
	}
	n, err := socket.Send(c.fd, out, more || c.parting)
	if err != nil && err != errAgain {
		c.broken = err
		c.kept = nil
		return err
	}
	c.sent += int64(max(n, 0))
	c.keep(out[n:])
	return nil
}

// keep keeps the end of what was to be sent, be it in the loop's buffer or in ours.
func (c *Conn) keep(rest []byte) {
	switch {
	case len(rest) == 0:
		c.kept, c.answers = nil, 0
	case len(c.kept) == 0:
		c.kept = bytes.Clone(rest)
	default:
		c.kept = rest
	}
}
