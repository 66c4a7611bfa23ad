// Package preface reads the PROXY protocol header with which a load balancer
// begins a connection that it makes for a client: who that client is. The
// specification is proxy-protocol.txt of the HAProxy project; its sections stand
// beside what obeys them. The package does no I/O and knows no clock.
//
// The path through it, in call order:
//
//	End      the header is whole, or cannot become one     (line.go, binary.go)
//	Source   whom it names, after all else in it is checked (source.go, vectors.go)
//
// The fields are read by github.com/pires/go-proxyproto. It wants to read from a
// connection, and to block; so End first sees that a header is whole, and rules
// stand here where the library is more lenient or stricter than the specification.
//
// Whether a peer may send such a header at all is not its concern. To believe one is to
// let its sender be any client.
package preface

import (
	"bytes"
	"errors"
)

// What is wrong with a header.
var (
	ErrNone = errors.New("the connection does not begin with a PROXY protocol header")

	errTransport  = errors.New("PROXY protocol version 1: no TCP4, TCP6 or UNKNOWN between single spaces after PROXY")
	errLineEnd    = errors.New("PROXY protocol version 1: a CR or LF that is not part of a CRLF")
	errLineLength = errors.New("PROXY protocol version 1: no CRLF within 107 bytes")

	errVersion  = errors.New("PROXY protocol signature of version 2, but another version behind it")
	errCommand  = errors.New("PROXY protocol version 2: the command is neither LOCAL nor PROXY")
	errProtocol = errors.New("PROXY protocol version 2: unknown address family or transport")
	errDatagram = errors.New("PROXY protocol version 2: the client is said to send datagrams")
	errLong     = errors.New("PROXY protocol version 2: more than 2048 bytes of addresses and TLVs")
	errShort    = errors.New("PROXY protocol version 2: too short for the addresses it announces")
	errVector   = errors.New("PROXY protocol version 2: a TLV runs over the header's end")
	errChecksum = errors.New("PROXY protocol version 2: the CRC32c checksum is wrong")

	errPartial = errors.New("PROXY protocol header is not whole, or not alone")
)

// The signatures tell the versions apart by their first byte (section 2.2).
const (
	lineSignature   = "PROXY"
	binarySignature = "\r\n\r\n\x00\r\nQUIT\n"
)

// MaxSize is the longest header that End accepts.
const MaxSize = fixedSize + maxRest

// End returns the length of the header that b starts with, or 0 while more is
// needed. An error is final, and comes as soon as the field that is wrong is
// there: ErrNone if b does not start like a header, another if it does not go on like
// one. The verdict does not depend on how the bytes arrived.
func End(b []byte) (int, error) {
	switch {
	case startsLike(b, lineSignature):
		return lineEnd(b)
	case startsLike(b, binarySignature):
		return binaryEnd(b)
	default:
		return 0, ErrNone
	}
}

// startsLike reports whether b starts with text, as far as b goes.
func startsLike(b []byte, text string) bool {
	n := min(len(b), len(text))
	return string(b[:n]) == text[:n]
}

// isLine tells a header of version 1 from one of version 2.
func isLine(header []byte) bool { return bytes.HasPrefix(header, []byte(lineSignature)) }
