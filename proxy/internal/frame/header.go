package frame

import (
	"math"

	"github.com/gobwas/ws"
)

// The first two bytes of a header (RFC 6455 5.2). An extended length of 2 or 8
// bytes and a mask key of 4 may follow.
//
//	bit   7     6      5      4      3 2 1 0
//	b[0]  FIN   RSV1   RSV2   RSV3   opcode
//	b[1]  MASK  payload length, 126 or 127
const (
	fin    = 0x80
	rsv1   = 0x40
	rsv2   = 0x20
	rsv3   = 0x10
	opcode = 0x0f

	mask       = 0x80
	lengthBits = 0x7f
	length16   = 126 // the length is in the next 2 bytes
	length64   = 127 // the length is in the next 8 bytes
)

const (
	opContinuation = byte(ws.OpContinuation)
	opText         = byte(ws.OpText)
	opBinary       = byte(ws.OpBinary)
	opClose        = byte(ws.OpClose)
)

const (
	maxControlPayload = ws.MaxControlFramePayloadSize // also the longest that needs no extended length
	maxLength         = math.MaxInt64                 // RFC 6455 5.2: the most significant bit MUST be 0
)

// header is a frame's header. The zero header stands for one that is not complete.
type header struct {
	size   int    // of the header itself
	length uint64 // of the payload
}

// parse parses the header at the start of b, which is not empty. It returns the zero
// header if the header is not complete. Rules are checked in the order in which their
// bytes arrive, each as soon as its bytes are there. So the result does not depend on how
// the stream is cut into chunks, and a broken header is reported before it is complete.
func (s *Scanner) parse(b []byte, limits *Limits) (header, *Violation) {
	if violation := s.checkFirst(b[0]); violation != nil {
		return header{}, violation
	}
	if len(b) < 2 {
		return header{}, nil
	}
	if violation := s.checkSecond(b[0], b[1]); violation != nil {
		return header{}, violation
	}
	low, high, extended := lengthBounds(b)
	if violation := s.checkLength(b, low, high, limits); violation != nil {
		return header{}, violation
	}
	size := 2 + extended + keySize(b[1])
	if len(b) < size {
		return header{}, nil
	}
	return header{size: size, length: low}, nil
}

// Missing returns how many bytes are still to come of what Scan has left: a header, or a
// control frame with its payload. b is what was left, and not empty. It is the least number
// where b does not decide it, and not positive if b has all of it.
func Missing(b []byte) int {
	if len(b) < 2 {
		return 2 + keySize(mask) - len(b)
	}
	_, _, extended := lengthBounds(b)
	size := 2 + extended + keySize(b[1])
	if isControl(b[0]) {
		size += int(b[1] & lengthBits)
	}
	return size - len(b)
}

// checkFirst checks the rules that a header's first byte decides.
func (s *Scanner) checkFirst(first byte) *Violation {
	op := ws.OpCode(first & opcode)
	switch {
	case op.IsReserved():
		return reservedOpcode
	case first&(rsv2|rsv3) != 0:
		return reservedBits
	case first&rsv1 != 0 && s.rsv1Bit == 0:
		return rsv1NotNegotiated
	case first&rsv1 != 0 && op != ws.OpText && op != ws.OpBinary: // RFC 7692 6
		return rsv1Misplaced
	case op.IsControl() && first&fin == 0: // RFC 6455 5.5
		return fragmentedControl
	case op.IsControl(): // RFC 6455 5.4: may come in the middle of a fragmented message
		return nil
	case op == ws.OpContinuation && !s.fragmented:
		return nothingToContinue
	case op != ws.OpContinuation && s.fragmented:
		return interleavedMessage
	}
	return nil
}

// checkSecond checks the rules that the second byte decides after the first was accepted.
func (s *Scanner) checkSecond(first, second byte) *Violation {
	switch {
	case second&mask != s.maskBit && s.maskBit != 0: // RFC 6455 5.1
		return clientNotMasked
	case second&mask != s.maskBit:
		return serverMasked
	case !isControl(first):
		return nil
	case second&lengthBits > maxControlPayload: // RFC 6455 5.5
		return longControl
	case first&opcode == opClose && second&lengthBits == 1: // RFC 6455 5.5.1: a code has 2 bytes
		return shortClose
	}
	return nil
}

// checkLength checks a payload length that is between low and high. Where both limits are
// exceeded, the smaller one is the one that is named: its bytes may have come first.
func (s *Scanner) checkLength(b []byte, low, high uint64, limits *Limits) *Violation {
	left := limits.message - uint64(s.before)
	switch {
	case low > maxLength:
		return lengthTopBit
	case high < shortest(b[1]): // RFC 6455 5.2: the minimal number of bytes MUST be used
		return longLength
	case isControl(b[0]) || low <= min(limits.frame, left):
		return nil
	case left < limits.frame:
		return MessageTooBig
	default:
		return TooBig
	}
}

// lengthBounds returns the bounds of the payload length, and the number of extended
// length bytes. The bounds are equal when all of these bytes are in b.
func lengthBounds(b []byte) (low, high uint64, extended int) {
	switch b[1] & lengthBits {
	case length16:
		extended = 2
	case length64:
		extended = 8
	default:
		length := uint64(b[1] & lengthBits)
		return length, length, 0
	}
	there := min(len(b)-2, extended)
	for _, digit := range b[2 : 2+there] {
		low = low<<8 | uint64(digit)
	}
	missing := 8 * (extended - there)
	low <<= missing
	return low, low | (1<<missing - 1), extended
}

// shortest returns the least length for which the second byte's length form may be used.
func shortest(second byte) uint64 {
	switch second & lengthBits {
	case length16:
		return maxControlPayload + 1
	case length64:
		return math.MaxUint16 + 1
	default:
		return 0
	}
}

// keySize returns how many bytes of mask key a header's second byte announces: 4 or 0.
func keySize(second byte) int { return int(second&mask) >> 5 }

func isControl(first byte) bool { return ws.OpCode(first & opcode).IsControl() }
