package secure

import (
	"encoding/binary"
	"net"
	"time"
)

// bufferSize is how much is received at once while a connection is detached.
const bufferSize = 4 << 10

// A wire is the net.Conn that crypto/tls reads and writes: a Conn under another type.
//
// Beside the loop its calls wait; on the loop they do not. In both cases it gives out one
// record at a time and nothing of the next. So crypto/tls never holds more than a part of
// a record, and its buffer, which is never freed, grows to the largest record so far and
// no further.
type wire Conn

// Read gives crypto/tls more of the present record.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.unfed) == 0 {
		if w.lent == nil {
			return 0, errAgain
		}
		if missing := w.record.missing(); missing > bufferSize {
			return w.pass(p[:min(len(p), missing)])
		}
		if err := w.refill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.unfed[:w.record.measure(w.unfed)])
	w.record.advance(n)
	if w.unfed = w.unfed[n:]; len(w.unfed) == 0 {
		w.unfed = nil // so that the memory before it can be freed
	}
	return n, nil
}

// pass reads the middle of a large record without a copy.
func (w *wire) pass(p []byte) (int, error) {
	n, err := w.lent.Read(p)
	w.record.advance(n)
	return n, err
}

func (w *wire) refill() error {
	if w.buffer == nil {
		w.buffer = new([bufferSize]byte)
	}
	n, err := w.lent.Read(w.buffer[:])
	w.unfed = w.buffer[:n]
	return err
}

// Write takes what crypto/tls writes. On the loop it never fails, because crypto/tls
// treats any error of a write as the end of the connection. After a record that was
// written in part, nothing more is written.
func (w *wire) Write(p []byte) (int, error) {
	if w.lent == nil {
		w.scratch.out = append(w.scratch.out, p...)
		return len(p), nil
	}
	w.sending.Lock()
	defer w.sending.Unlock()
	if err := w.flush(); err != nil {
		return 0, err
	}
	return w.writeLent(p)
}

// flush writes what a detached connection has kept since it left the loop. The caller
// holds sending.
func (w *wire) flush() error {
	if len(w.kept) == 0 {
		return w.broken
	}
	_, err := w.writeLent(w.kept)
	w.kept, w.answers = nil, 0
	return err
}

func (w *wire) writeLent(p []byte) (n int, err error) {
	n, w.broken = w.lent.Write(p)
	return n, w.broken
}

// Close closes the descriptor of a detached connection.
func (w *wire) Close() error { return w.lent.Close() }

// LocalAddr returns an address without content: only callbacks of tls.Config could ask
// for it.
func (w *wire) LocalAddr() net.Addr { return unnamed{} }

// RemoteAddr is like LocalAddr.
func (w *wire) RemoteAddr() net.Addr { return unnamed{} }

// SetDeadline does nothing, and neither does SetReadDeadline. crypto/tls does not call
// them by itself, and the user of a detached connection sets the descriptor's deadlines.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, see SetDeadline.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline sets the time that crypto/tls allows for writing close_notify. It does
// nothing on the loop, where no write waits.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.lent == nil {
		return nil
	}
	return w.lent.SetWriteDeadline(t)
}

// unnamed is the address of either end of a wire.
type unnamed struct{}

func (unnamed) Network() string { return "tls" }
func (unnamed) String() string  { return "unnamed" }

const (
	headerSize = 5 // of a record: type, version, length (RFC 8446 5.1)
	lengthAt   = 3
)

// A record says which part of which record crypto/tls has read so far.
type record struct {
	header [headerSize]byte
	held   int // bytes of the record that crypto/tls has; 0 between two records
}

// measure returns how many bytes of in, which is not empty, belong to the record. While
// its header is not complete, those are all bytes of in: the length is not known yet.
func (r *record) measure(in []byte) int {
	known := min(r.held, headerSize)
	known += copy(r.header[known:], in)
	if known < headerSize {
		return len(in)
	}
	return min(len(in), r.size()-r.held)
}

// missing returns how many bytes of the record are still to come, or 0 if that is not
// known.
func (r *record) missing() int {
	if r.held < headerSize {
		return 0
	}
	return r.size() - r.held
}

// advance records that crypto/tls was given n more bytes of the record.
func (r *record) advance(n int) {
	r.held += n
	if r.held >= headerSize && r.held == r.size() {
		r.held = 0
	}
}

// size returns the length of the record. Its header must be complete.
func (r *record) size() int {
	return headerSize + int(binary.BigEndian.Uint16(r.header[lengthAt:]))
}
