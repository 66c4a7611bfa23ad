package secure

import (
	"encoding/binary"
	"net"
	"time"
)

// bufferSize is what is received at once while a connection is detached.
const bufferSize = 4 << 10

// A wire is a Conn as crypto/tls sees it: the net.Conn below it.
//
// Beside the loop it waits, on the loop it does not. Both ways it gives out one
// record at a time and nothing of the next: crypto/tls never holds more than a
// part of a record, and its buffer, which it never gives back, grows to the
// largest record that there was and no further.
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
		w.unfed = nil // lets go of the memory behind it
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

// Write takes what crypto/tls has produced. On the loop it never fails, since
// crypto/tls takes any error of a write as the connection's end. Nothing
// follows a record that was written in part.
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

// flush writes what a connection that is detached has kept from the loop. The
// caller holds sending.
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

// Close closes the descriptor of a connection that is detached.
func (w *wire) Close() error { return w.lent.Close() }

// LocalAddr says no more than that there is an address: only callbacks of
// tls.Config could ask for it.
func (w *wire) LocalAddr() net.Addr { return unnamed{} }

// RemoteAddr is like LocalAddr.
func (w *wire) RemoteAddr() net.Addr { return unnamed{} }

// SetDeadline does nothing, nor does SetReadDeadline: crypto/tls calls neither
// by itself, and whoever has the detached connection sets the descriptor's.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, see SetDeadline.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is how crypto/tls bounds the writing of close_notify. On the
// loop nothing waits.
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

// A record says where in the stream of records crypto/tls is.
type record struct {
	header [headerSize]byte
	held   int // bytes of the record that crypto/tls has; 0 between two
}

// measure returns how many bytes of what comes next belong to the record. in
// must not be empty. A header that is not complete is as far as can be told.
func (r *record) measure(in []byte) int {
	known := min(r.held, headerSize)
	known += copy(r.header[known:], in)
	if known < headerSize {
		return len(in)
	}
	return min(len(in), r.size()-r.held)
}

// missing is how much of the record crypto/tls still wants; 0 if that is unknown.
func (r *record) missing() int {
	if r.held < headerSize {
		return 0
	}
	return r.size() - r.held
}

// advance notes that crypto/tls has been given n bytes more, all of them
// measured, or missing.
func (r *record) advance(n int) {
	r.held += n
	if r.held >= headerSize && r.held == r.size() {
		r.held = 0
	}
}

// size is how long the record is, once its header is known.
func (r *record) size() int {
	return headerSize + int(binary.BigEndian.Uint16(r.header[lengthAt:]))
}
