package preface

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Source returns the address of the client that a whole header names. The bool is false
// if the header names none, because it is a proxy's own health check, of an unknown
// protocol, or of a unix socket. Then the client is the peer that made the connection.
func Source(header []byte) (netip.AddrPort, bool, error) {
	n, err := End(header)
	switch {
	case err != nil:
		return netip.AddrPort{}, false, err
	case n == 0 || n != len(header):
		return netip.AddrPort{}, false, errPartial
	case isIgnored(header):
		return netip.AddrPort{}, false, nil
	}
	if err := checkVectors(header); err != nil {
		return netip.AddrPort{}, false, err
	}
	return parse(header)
}

// isIgnored reports whether only the length of a header counts. The library refuses some
// of these headers.
func isIgnored(header []byte) bool {
	return !isLine(header) && (header[versionByte] == local || protocolOf(header) == proxyproto.UNSPEC)
}

// parse parses a header's fields. For version 1 the library demands single spaces, no
// leading zeros, no zone, addresses of the announced family, and nothing more. It also
// accepts the last 32 bits of an IPv6 address in dots: the specification does not mention
// that form, but inet_ntop writes it.
func parse(header []byte) (netip.AddrPort, bool, error) {
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(header), len(header)))
	if err != nil {
		return netip.AddrPort{}, false, fmt.Errorf("read PROXY protocol header: %w", err)
	}
	source, _, ok := h.TCPAddrs()
	if !ok {
		return netip.AddrPort{}, false, nil
	}
	addr := source.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), true, nil
}
