package preface

import (
	"encoding/binary"

	"github.com/pires/go-proxyproto"
)

// The fixed part of a version 2 header (section 2.2). Addresses and TLVs follow it.
//
//	b[0:12]   signature
//	b[12]     version, 4 bits; command, 4 bits
//	b[13]     address family, 4 bits; transport, 4 bits
//	b[14:16]  how many bytes follow
const (
	versionByte  = 12
	protocolByte = 13
	lengthBytes  = 14
	fixedSize    = 16
)

const (
	versionBits = 0xf0
	version2    = 0x20
	local       = byte(proxyproto.LOCAL) // the proxy speaks for itself, as in a health check
	proxied     = byte(proxyproto.PROXY)
)

// maxRest bounds what follows the fixed part. The specification allows 64 KiB, but
// intends a header to fit a single segment. The addresses of unix sockets are 216 bytes,
// and the TLVs in use are names, identifiers and at most a client's certificate. A larger
// bound would only let each connection claim more memory before it has said anything.
const maxRest = 2048

// binaryEnd is End for version 2. It checks each field as soon as it is there, in the
// order of the fields.
func binaryEnd(b []byte) (int, error) {
	if len(b) <= versionByte {
		return 0, nil
	}
	if err := checkCommand(b[versionByte]); err != nil {
		return 0, err
	}
	if len(b) <= protocolByte {
		return 0, nil
	}
	if err := checkProtocol(b); err != nil || len(b) < fixedSize {
		return 0, err
	}
	rest := int(binary.BigEndian.Uint16(b[lengthBytes:]))
	switch {
	case rest > maxRest:
		return 0, errLong
	case rest < addressSize(b):
		return 0, errShort
	case len(b) < fixedSize+rest:
		return 0, nil
	}
	return fixedSize + rest, nil
}

func checkCommand(b byte) error {
	switch {
	case b&versionBits != version2:
		return errVersion
	case b != local && b != proxied:
		return errCommand
	}
	return nil
}

func checkProtocol(b []byte) error {
	if b[versionByte] == local {
		return nil // the family is ignored (section 2.2)
	}
	switch protocolOf(b) {
	case proxyproto.UNSPEC, proxyproto.TCPv4, proxyproto.TCPv6, proxyproto.UnixStream:
		return nil
	case proxyproto.UDPv4, proxyproto.UDPv6, proxyproto.UnixDatagram:
		return errDatagram // the header itself came over a stream
	default:
		return errProtocol
	}
}

// addressSize returns how many bytes of addresses a header must have.
func addressSize(b []byte) int {
	if b[versionByte] == local {
		return 0
	}
	switch protocolOf(b) {
	case proxyproto.TCPv4:
		return 2*4 + 2*2
	case proxyproto.TCPv6:
		return 2*16 + 2*2
	case proxyproto.UnixStream:
		return 2 * 108
	default:
		return 0
	}
}

func protocolOf(b []byte) proxyproto.AddressFamilyAndProtocol {
	return proxyproto.AddressFamilyAndProtocol(b[protocolByte])
}
