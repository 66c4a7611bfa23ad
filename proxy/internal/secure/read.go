package secure

import (
	"errors"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// maxAnswers bounds the answers that are kept for a peer that asks for them, as KeyUpdate
// does, and does not read them.
const maxAnswers = 16 << 10

// Room is the least buffer of Read. It holds a record of the largest size and as much of
// the next one as may have been received while the connection was detached, and more.
const Room = 24 << 10

var errDeaf = errors.New("TLS: the peer asks for answers and does not read them")

// Read receives at most most bytes, once, and puts everything that can be decrypted into
// b, which must have at least Room. Nothing is left afterwards that the kernel would not
// report. The first Read after Adopt receives nothing; it delivers what was read before.
//
// If there is nothing to deliver, Read returns unix.EAGAIN. It returns io.EOF at the end
// of the peer's stream, with close_notify or without. If the peer broke the protocol, its
// alert has been sent when Read returns the error.
func (c *Conn) Read(b []byte, most int) (int, error) {
	if c.ended != nil {
		return 0, c.ended
	}
	if err := c.receive(min(most, len(b)-c.record.held)); err != nil {
		return 0, err
	}
	c.scratch.out = c.scratch.out[:0]
	n, err := c.decrypt(b)
	if deaf := c.answer(); deaf != nil {
		err = deaf
	}
	switch {
	case err == errAgain && n > 0:
		return n, nil
	case err == nil || err == errAgain:
		return n, err
	}
	c.ended = err
	if n == 0 {
		return 0, err
	}
	// The next Read returns the error. This makes the descriptor readable for it.
	_ = socket.Shutdown(c.fd, unix.SHUT_RD) // it fails only if the peer has gone, which makes it readable too
	return n, nil
}

// receive sets unfed to what is decrypted next. This, together with the part of a record
// that crypto/tls holds, decrypts to fewer bytes than it has.
func (c *Conn) receive(most int) error {
	if c.fresh {
		c.fresh = false
		return nil
	}
	in := c.scratch.in[:min(len(c.scratch.in), most)]
	n, err := socket.Receive(c.fd, in)
	c.unfed = in[:n]
	return err
}

// decrypt reads until crypto/tls has been given all of unfed.
func (c *Conn) decrypt(b []byte) (n int, err error) {
	for {
		var got int
		got, err = c.tls.Read(b[n:])
		n += got
		if err != nil || len(c.unfed) == 0 {
			c.unfed = nil // after an error the rest is not read
			return n, err
		}
	}
}

// answer sends what crypto/tls wrote by itself: alerts and answers to KeyUpdate.
func (c *Conn) answer() error {
	if len(c.scratch.out) == 0 {
		return nil
	}
	c.answers += len(c.scratch.out)
	err := c.push(false)
	if err == nil && c.answers > maxAnswers {
		return errDeaf
	}
	return nil // the next Write returns the error of a failed push; what the peer has sent is still delivered
}
