package frame

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// MaxControl is the size of the largest control frame: two bytes of header, a mask key
// and the payload.
const MaxControl = 2 + 4 + maxControlPayload

// ControlFrame is a parsed control frame. It is plain data: a copy of it is independent
// of the bytes that it was parsed from.
type ControlFrame struct {
	Op  ws.OpCode
	n   uint8
	buf [maxControlPayload]byte
}

// ParseControl parses a control frame as Scan cuts it out, and unmasks its payload into
// into. It does not change b.
func ParseControl(b []byte, into *ControlFrame) {
	into.Op = ws.OpCode(b[0] & opcode)
	into.n = b[1] & lengthBits
	start := 2 + keySize(b[1])
	copy(into.Payload(), b[start:])
	if b[1]&mask != 0 {
		ws.Cipher(into.Payload(), [4]byte(b[2:start]), 0)
	}
}

// Payload returns the payload, unmasked. It is valid until c is used for another frame.
func (c *ControlFrame) Payload() []byte { return c.buf[:c.n] }

// CloseCode returns the code of a Close. ok is false if the Close is empty.
func (c *ControlFrame) CloseCode() (code ws.StatusCode, ok bool) {
	if c.n < 2 {
		return 0, false
	}
	return ws.StatusCode(binary.BigEndian.Uint16(c.buf[:])), true
}

// AppendControl appends a control frame as a server sends it. It panics if the payload
// has more than 125 bytes, and so does AppendMaskedControl.
func AppendControl(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = append(dst, fin|byte(op), controlLength(payload))
	return append(dst, payload...)
}

// AppendMaskedControl appends a control frame as a client sends it. The key must be fresh
// and not predictable (RFC 6455 5.3).
func AppendMaskedControl(dst []byte, op ws.OpCode, payload []byte, key [4]byte) []byte {
	dst = append(dst, fin|byte(op), mask|controlLength(payload))
	dst = append(dst, key[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[start:], key, 0)
	return dst
}

func controlLength(payload []byte) byte {
	if len(payload) > maxControlPayload {
		panic("frame: control payload longer than 125 bytes")
	}
	return byte(len(payload))
}

// AppendClosePayload appends a Close's payload. A reason that does not fit is cut at the
// end of a rune, because a reason must be UTF-8 (RFC 6455 5.5.1).
func AppendClosePayload(dst []byte, code ws.StatusCode, reason string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	n := len(reason)
	if n > maxControlPayload-2 {
		n = maxControlPayload - 2
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
	}
	return append(dst, reason[:n]...)
}
