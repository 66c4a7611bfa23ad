package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of RFC 6455 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// appendFrame appends a frame; rsv are the three reserved bits. A masked frame has the
// key that is given.
func appendFrame(to []byte, first byte, mask *[4]byte, payload []byte) []byte {
	to = append(to, first)
	var masked byte
	if mask != nil {
		masked = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		to = append(to, masked|byte(n))
	case n < 1<<16:
		to = binary.BigEndian.AppendUint16(append(to, masked|126), uint16(n))
	default:
		to = binary.BigEndian.AppendUint64(append(to, masked|127), uint64(n))
	}
	if mask == nil {
		return append(to, payload...)
	}
	to = append(to, mask[:]...)
	at := len(to)
	to = append(to, payload...)
	unmask(to[at:], *mask)
	return to
}

// unmask applies a masking key, whichever way.
func unmask(b []byte, key [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(key[:]))
	word |= word << 32
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
	}
	for i := range b {
		b[i] ^= key[i%4]
	}
}

// A parser is the reference that tells what a peer was sent: it knows frames, and nothing
// of how the proxy handles them. Bytes may come in any pieces.
type parser struct {
	wantsMask bool // the frames come from a client

	head    []byte // of a frame that is not there in full
	left    uint64 // payload bytes still to come of a data frame
	more    bool   // fragments are still to come
	frames  int    // data frames
	closed  bool
	data    int // bytes of data frames, headers included
	control func(op byte, payload []byte)
	bytes   func([]byte) // is given the bytes of data frames as they stand on the wire

	// own is given the payload of each short text message in one frame. It reports whether
	// the message is the proxy's own, which is not data. It may be nil.
	own    func(payload []byte) bool
	text   []byte // such a message, as far as it has come
	textAt int    // where its payload begins
}

var errAfterClose = errors.New("a frame follows a Close")

func (p *parser) takes(b []byte) error {
	for len(b) > 0 {
		if p.left > 0 {
			n := min(uint64(len(b)), p.left)
			p.left -= n
			if p.text != nil {
				p.text = append(p.text, b[:n]...)
				p.judges()
			} else {
				p.passes(b[:n])
			}
			b = b[n:]
			continue
		}
		if p.closed {
			return errAfterClose
		}
		p.head = append(p.head, b[0])
		b = b[1:]
		size, payload, whole := p.size()
		if !whole {
			continue
		}
		if err := p.begins(size, payload); err != nil {
			return err
		}
	}
	return nil
}

// size is the length of the header that begins in head, and of the payload behind it. A
// control frame is whole when its payload is there, too.
func (p *parser) size() (header int, payload uint64, whole bool) {
	h := p.head
	if len(h) < 2 {
		return 0, 0, false
	}
	header, payload = 2, uint64(h[1]&0x7f)
	switch payload {
	case 126:
		header = 4
	case 127:
		header = 10
	}
	lengthEnd := header
	if h[1]&0x80 != 0 {
		header += 4
	}
	if len(h) < header {
		return header, 0, false
	}
	switch lengthEnd {
	case 4:
		payload = uint64(binary.BigEndian.Uint16(h[2:]))
	case 10:
		payload = binary.BigEndian.Uint64(h[2:])
	}
	return header, payload, h[0]&8 == 0 || len(h) == header+int(payload)
}

func (p *parser) begins(header int, payload uint64) error {
	h := p.head
	p.head = nil
	if masked := h[1]&0x80 != 0; masked != p.wantsMask {
		return fmt.Errorf("a frame is masked: %v, want %v", masked, p.wantsMask)
	}
	op := h[0] & 0xf
	if op&8 == 0 {
		if p.own != nil && h[0] == 0x80|opText && !p.more && payload <= ownMost {
			p.text, p.textAt, p.left = h, header, payload
			p.judges()
			return nil
		}
		p.passes(h)
		p.frames++
		p.left, p.more = payload, h[0]&0x80 == 0
		return nil
	}
	if h[0]&0xf0 != 0x80 || op > opPong || payload > 125 {
		return fmt.Errorf("a control frame has the header % x", h[:header])
	}
	body := h[header:]
	if p.wantsMask {
		unmask(body, [4]byte(h[header-4:]))
	}
	p.closed = op == opClose
	p.control(op, body)
	return nil
}

// judges tells whose a short message is, once it is whole.
func (p *parser) judges() {
	if p.left > 0 {
		return
	}
	raw := p.text
	p.text = nil
	payload := append([]byte{}, raw[p.textAt:]...)
	if p.wantsMask {
		unmask(payload, [4]byte(raw[p.textAt-4:]))
	}
	if !p.own(payload) {
		p.passes(raw)
	}
}

func (p *parser) passes(b []byte) {
	p.data += len(b)
	p.bytes(b)
}

// betweenFrames reports whether all that was taken ends with a frame.
func (p *parser) betweenFrames() bool { return p.left == 0 && len(p.head) == 0 }

// insideMessage reports whether all that was taken ends inside a message.
func (p *parser) insideMessage() bool { return p.left > 0 || p.more }
