package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"holdfast/internal/sim/kernel"
	"holdfast/proxy"
)

// Invented TLS has the records of TLS and none of its arithmetic: five bytes of header,
// the payload as it is, and a tag. What matters to a loop is there: bytes that come in
// records, ciphertext that must be sent once it is made, and a handshake that takes time.

const (
	recordHeader = 5
	recordTag    = 16
	recordMost   = 16 << 10
)

func appendRecord(to []byte, kind byte, payload []byte) []byte {
	to = append(to, kind, 3, 3)
	to = binary.BigEndian.AppendUint16(to, uint16(len(payload)+recordTag))
	to = append(to, payload...)
	return append(to, make([]byte, recordTag)...) // the compiler makes no slice of that
}

const (
	handshakeRecord = 22
	dataRecord      = 23
)

// records takes records apart.
type records struct{ part []byte }

// takes appends the payloads of all records that are whole now.
func (r *records) takes(to, b []byte) []byte {
	r.part = append(r.part, b...)
	for len(r.part) >= recordHeader {
		size := recordHeader + int(binary.BigEndian.Uint16(r.part[3:]))
		if len(r.part) < size {
			break
		}
		if r.part[0] == dataRecord {
			to = append(to, r.part[recordHeader:size-recordTag]...)
		}
		r.part = r.part[size:]
	}
	return to
}

// A sealed is the proxy's end of a connection with invented TLS.
type sealed struct {
	proxy.Transport
	w       *World
	aborted bool
	late    bool // its peer has not answered in time
	closed  bool
	in      records
	early   []byte // deciphered before the loop could read it
	kept    []byte // ciphertext that the socket has not taken
	owed    int    // bytes of the caller's that stand for it
	sent    int64
}

var _ proxy.Secured = (*sealed)(nil)

// seals puts invented TLS around a connection of the proxy's. hello is what the loop has
// read of it.
func (w *World) seals(conn proxy.Transport, hello []byte, _ *tls.Config) proxy.Secured {
	c := &sealed{Transport: conn, w: w}
	c.early = c.in.takes(nil, hello)
	return c
}

var errBadCertificate = errors.New("tls: the certificate is refused")

// Handshake is called when its time has come. It waits only for a host that hangs.
func (c *sealed) Handshake(by time.Time) error {
	if s, is := c.Transport.(*kernel.Socket); is && c.w.isHanging(s) {
		c.late = true
		c.w.rests(by.Sub(time.Time{}) - c.w.now)
	}
	err := c.outcome()
	if err != nil {
		_ = c.Close()
	}
	return err
}

func (c *sealed) outcome() error {
	switch {
	case c.aborted, c.late:
		return os.ErrDeadlineExceeded
	case c.w.chance(c.w.plan.Faults.TLS, "TLS"):
		return oneOf(c.w.faults, error(errBadCertificate), io.EOF, os.ErrDeadlineExceeded)
	}
	return nil
}

func (c *sealed) Adopt(*proxy.Scratch) {}

func (c *sealed) Abort() {
	if !c.aborted && !c.closed {
		c.w.limbo++
	}
	c.aborted = true
}

func (c *sealed) Close() error {
	if c.aborted {
		c.w.limbo--
	}
	c.closed = true
	return c.Transport.Close()
}

func (c *sealed) Read(b []byte, most int) (int, error) {
	if n := len(c.early); n > 0 {
		c.early = c.early[copy(b, c.early):]
		return n - len(c.early), nil
	}
	// What is deciphered must fit b: no event comes for what is left.
	cipher := c.w.room.cipher[:max(1, min(most, len(b)-len(c.in.part)))]
	n, err := c.Transport.Read(cipher, len(cipher))
	if n == 0 {
		return 0, err
	}
	plain := c.in.takes(c.w.room.plain[:0], cipher[:n])
	c.w.room.plain = plain
	if len(plain) == 0 {
		return 0, proxy.ErrAgain
	}
	m := copy(b, plain)
	c.early = append(c.early, plain[m:]...)
	return m, nil
}

// Write seals one record at a time, and keeps what the socket does not take of it.
func (c *sealed) Write(b []byte) (taken int, err error) {
	for {
		if len(c.kept) > 0 {
			n, err := c.Transport.Write(c.kept)
			c.kept = c.kept[n:]
			c.sent += int64(n)
			switch {
			case err != nil && err != proxy.ErrAgain:
				return taken, err
			case len(c.kept) > 0 && taken == 0:
				return 0, proxy.ErrAgain
			case len(c.kept) > 0:
				return taken, nil
			}
			taken += c.owed
			b = b[c.owed:]
			c.owed = 0
		}
		if len(b) == 0 {
			return taken, nil
		}
		c.owed = min(len(b), recordMost)
		c.kept = appendRecord(nil, dataRecord, b[:c.owed])
	}
}

func (c *sealed) Detach() (net.Conn, error) { return c.w.detaches(c, c.Transport.(*kernel.Socket)) }

func (c *sealed) WriteLast(b []byte) (int, error) { return c.Write(b) }
func (c *sealed) Position(uint64) int64           { return c.sent }
func (c *sealed) Connected() error                { return nil }

// A wire is a peer's end of a connection, with invented TLS or without.
type wire struct {
	*kernel.Socket
	sealed bool
	in     records
	plain  []byte // deciphered and not read
	kept   []byte // ciphertext that the socket has not taken
}

// Read is as a socket's.
func (s *wire) Read(b []byte, most int) (int, error) {
	if !s.sealed {
		return s.Socket.Read(b, most)
	}
	for len(s.plain) == 0 {
		var cipher [4096]byte
		n, err := s.Socket.Read(cipher[:], len(cipher))
		if n == 0 {
			return 0, err
		}
		s.plain = s.in.takes(s.plain, cipher[:n])
	}
	n := copy(b[:min(most, len(b))], s.plain)
	s.plain = s.plain[n:]
	return n, nil
}

// Write is as a socket's.
func (s *wire) Write(b []byte) (int, error) {
	if !s.sealed {
		return s.Socket.Write(b)
	}
	if len(s.kept) > 0 {
		n, err := s.Socket.Write(s.kept)
		s.kept = s.kept[n:]
		if len(s.kept) > 0 {
			return 0, err
		}
	}
	n := min(len(b), recordMost)
	s.kept = appendRecord(s.kept, dataRecord, b[:n])
	m, err := s.Socket.Write(s.kept)
	s.kept = s.kept[m:]
	if err == proxy.ErrAgain {
		err = nil
	}
	return n, err
}

// hasUnsent reports whether something that was written has not reached the socket.
func (s *wire) hasUnsent() bool { return len(s.kept) > 0 }
