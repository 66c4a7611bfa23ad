// Package preface reads the PROXY protocol header with which a load balancer begins a
// connection that it makes for a client. The header says who that client is. The
// specification is proxy-protocol.txt of the HAProxy project; comments name the section
// that the code obeys. The package does no I/O and knows no clock.
//
// The path through it, in call order:
//
//	End      whether the header is whole, or cannot become one  (line.go, binary.go)
//	Source   the client that it names, after all other checks   (source.go, vectors.go)
//
// github.com/pires/go-proxyproto parses the fields. That library reads from a connection
// and blocks, so End first makes sure that a header is whole. The rules here cover where
// the library is more lenient or stricter than the specification.
//
// The package does not decide whether a peer may send such a header. A peer whose header
// is believed can name any client.
package preface

import (
	"bytes"
	"errors"
)

// Errors of End and Source.
var (
	ErrNone = errors.New("the connection does not begin with a PROXY protocol header")

	errTransport  = errors.New("PROXY protocol version 1: PROXY is not followed by TCP4, TCP6 or UNKNOWN between single spaces")
	errLineEnd    = errors.New("PROXY protocol version 1: a CR or LF is not part of a CRLF")
	errLineLength = errors.New("PROXY protocol version 1: no CRLF within 107 bytes")

	errVersion  = errors.New("PROXY protocol: the signature is that of version 2, but the version is another")
	errCommand  = errors.New("PROXY protocol version 2: the command is neither LOCAL nor PROXY")
	errProtocol = errors.New("PROXY protocol version 2: unknown address family or transport")
	errDatagram = errors.New("PROXY protocol version 2: the transport is datagrams, but the connection is a stream")
	errLong     = errors.New("PROXY protocol version 2: more than 2048 bytes of addresses and TLVs")
	errShort    = errors.New("PROXY protocol version 2: the header is too short for the addresses that it announces")
	errVector   = errors.New("PROXY protocol version 2: a TLV ends behind the header's end")
	errChecksum = errors.New("PROXY protocol version 2: the CRC32c checksum is wrong")

	errPartial = errors.New("PROXY protocol header is incomplete, or bytes follow it")
)

// The signatures. The first byte is enough to tell the versions apart (section 2.2).
const (
	lineSignature   = "PROXY"
	binarySignature = "\r\n\r\n\x00\r\nQUIT\n"
)

// MaxSize is the size of the longest header that End accepts.
const MaxSize = fixedSize + maxRest

// End returns the length of the header at the start of b, or 0 if b holds only a part of
// it. An error is final, and comes as soon as the wrong field is there: ErrNone if b does
// not begin like a header, another error if it does but does not go on like one. The
// result does not depend on how the bytes arrived.
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

// startsLike reports whether b begins with text, or is a beginning of text.
func startsLike(b []byte, text string) bool {
	n := min(len(b), len(text))
	return string(b[:n]) == text[:n]
}

// isLine reports whether a header is one of version 1.
func isLine(header []byte) bool { return bytes.HasPrefix(header, []byte(lineSignature)) }
