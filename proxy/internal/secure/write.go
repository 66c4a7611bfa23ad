package secure

import (
	"bytes"

	"holdfast/proxy/internal/socket"
)

const (
	// maxWrite is how much is encrypted at once: the most that one record holds (RFC 8446
	// 5.1). The socket is tried after each record, so no more than one is ever kept.
	maxWrite = 16 << 10
	// maxRest is how much more than maxWrite is sent with one system call: a message of
	// 16 KiB has a frame header before it.
	maxRest = 512
)

// Write encrypts b and sends it, one record at a time, for as long as the socket takes
// whole records. It returns how many bytes of b were taken, or unix.EAGAIN if none was.
//
// Encrypted bytes must be sent. So the part of a record that the socket does not take is
// kept here. Meanwhile Write reports bytes as taken in step with the socket, but never
// the last byte: n < len(b) until everything is in the kernel. The next Write must begin
// with the bytes that were left over, and may have more bytes behind them. It continues
// sending, and encrypts only the new bytes.
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

// WriteLast is Write for the last bytes of our direction. The kernel may hold them back
// until CloseWrite or Close is called.
func (c *Conn) WriteLast(b []byte) (int, error) {
	c.parting = true
	return c.Write(b)
}

// encrypt encrypts the first record of b and sends it. Nothing may be kept. If more
// records follow, the kernel may hold the end of this one back until they come, so that
// segments are as full as if all records were sent at once.
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

// advance sends what is kept and what is new, and returns how many of the owed bytes this
// has made taken.
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

// stillOwed returns how many of the owed bytes are still not taken when kept has shrunk
// from before to after: the same share, but at least one byte, and none when all
// ciphertext is sent.
func stillOwed(owed, before, after int) int {
	if after == 0 {
		return 0
	}
	return min(owed, max(1, owed*after/before))
}

// push sends what is kept, and behind it what crypto/tls has written, with one system
// call. It keeps what the socket does not take. more says that another push follows at
// once.
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

// keep keeps rest, which is the unsent end of the loop's buffer or of kept.
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
