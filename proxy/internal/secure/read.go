package secure

import (
	"errors"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// maxAnswers bounds what a peer can have us keep for it by asking for answers,
// as KeyUpdate does, and not reading them.
const maxAnswers = 16 << 10

// Room is what Read needs: a record of the largest size and as much of the next as
// may have been received while the connection was detached, and more.
const Room = 24 << 10

var errDeaf = errors.New("peer demands answers and does not read them")

// Read receives at most so many bytes, once, and puts everything that can be
// decrypted into b, which must not be smaller than Room. There is never anything
// left that the kernel would not announce. The first Read after Adopt receives
// nothing, it delivers what has been read before.
//
// With nothing to deliver it returns unix.EAGAIN. The end of the peer's stream
// is io.EOF, by close_notify or without; a peer that breaks the protocol has
// been sent its alert when Read returns the error.
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
	// The next Read is to tell; this makes the descriptor readable for it.
	_ = socket.Shutdown(c.fd, unix.SHUT_RD) // it fails only if the peer is gone, which makes it readable too
	return n, nil
}

// receive puts what is to be decrypted next into unfed. Together with what
// crypto/tls holds of a record it decrypts to less than it has bytes.
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

// decrypt reads until crypto/tls has been given all there is.
func (c *Conn) decrypt(b []byte) (n int, err error) {
	for {
		var got int
		got, err = c.tls.Read(b[n:])
		n += got
		if err != nil || len(c.unfed) == 0 {
			c.unfed = nil // after an error: what follows will not be read
			return n, err
		}
	}
}

// answer sends what crypto/tls wrote by itself: alerts, answers to KeyUpdate.
func (c *Conn) answer() error {
	if len(c.scratch.out) == 0 {
		return nil
	}
	c.answers += len(c.scratch.out)
	err := c.push(false)
	if err == nil && c.answers > maxAnswers {
		return errDeaf
	}
	return nil // a failed push the next Write tells; what the peer has sent is worth reading
}
