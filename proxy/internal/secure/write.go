package secure

import "bytes"

// maxWrite bounds what is encrypted at once, and so what is kept of it if the
// socket takes nothing.
const maxWrite = 64 << 10

// Write encrypts b and sends it, with one system call. It returns how much of b
// was taken; unix.EAGAIN if that is nothing.
//
// What is encrypted must be sent, so what the socket leaves over is kept here.
// Meanwhile Write reports bytes as taken in step with the socket, but never the
// last one: n < len(b) until all is in the kernel. The next Write must be of the
// bytes that were left over, with or without more behind them; it goes on with
// the sending, and encrypts only what is new. What is behind the first 64 KiB of
// b is left over in any case.
func (c *Conn) Write(b []byte) (int, error) {
	if len(b) < c.owed {
		panic("secure: Write without the bytes that the last one left over")
	}
	c.scratch.out = c.scratch.out[:0]
	taken, err := c.advance()
	if err == nil && len(c.kept) == 0 && taken < len(b) {
		var n int
		n, err = c.encrypt(b[taken:min(len(b), taken+maxWrite)])
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

// encrypt is a Write with nothing kept from before.
func (c *Conn) encrypt(b []byte) (int, error) {
	if _, err := c.tls.Write(b); err != nil {
		return 0, err
	}
	c.owed = len(b)
	return c.advance()
}

// advance sends what there is, and returns how many of the bytes owed have
// become taken by that.
func (c *Conn) advance() (int, error) {
	before := len(c.kept) + len(c.scratch.out)
	if err := c.push(); err != nil {
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
// system call. It keeps what the socket does not take.
func (c *Conn) push() error {
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
	n, err := send(c.fd, out, c.parting)
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
