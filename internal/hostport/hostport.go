// Package hostport reads host[:port]: the Host of a request, the host of a web origin,
// a node of Forwarded, the address of the upstream and those that are listened on.
// Split takes all of them apart. What the parts may be differs, and each function says
// for whom.
//
// Beside hosts and ports stand the two other pieces of a URI that more than one reader
// needs: schemes and percent-encoding (uri.go).
package hostport

import (
	"net/netip"
	"strconv"
	"strings"

	"holdfast/internal/ascii"
)

// Parts are host[:port], taken apart.
type Parts struct {
	Host    string     // without brackets; may be empty
	IPv6    netip.Addr // the address in brackets; the zero Addr if there are none
	Port    string     // may be empty behind a colon
	HasPort bool       // whether there is a colon before the port
}

// Split takes host[:port] apart. It returns false if colons and brackets leave a doubt:
// an IPv6 address stands in brackets, perhaps with a zone, and nothing else does. The
// characters of a name and of the port are for the caller to judge.
func Split(s string) (p Parts, ok bool) {
	if inner, bracketed := strings.CutPrefix(s, "["); bracketed {
		return splitBracketed(inner)
	}
	p.Host, p.Port, p.HasPort = strings.Cut(s, ":")
	return p, !strings.ContainsAny(s, "[]") && strings.IndexByte(p.Port, ':') < 0
}

// splitBracketed is Split behind the opening bracket.
func splitBracketed(s string) (p Parts, ok bool) {
	host, rest, closed := strings.Cut(s, "]")
	addr, err := netip.ParseAddr(host)
	if !closed || err != nil || !addr.Is6() || strings.Contains(host, "[") { // a zone may have any character
		return Parts{}, false
	}
	p.Host, p.IPv6 = host, addr
	p.Port, p.HasPort = strings.CutPrefix(rest, ":")
	return p, (p.HasPort || rest == "") && !strings.ContainsAny(p.Port, "[]:")
}

// IsURIHost reports whether s is `uri-host [ ":" port ]` with a host that is not empty
// (RFC 9110 4.2.1, 7.2). It is the rule for what is passed on, in Host and in the fields
// that tell of it. The port may be empty or any number (RFC 3986 3.2.3): a proxy does not
// dial it. Nor does it make anything of a zone, which some clients send.
func IsURIHost(s string) bool {
	p, ok := Split(s)
	if !ok || p.Port != "" && !ascii.IsDigits(p.Port) {
		return false
	}
	if p.IPv6.IsValid() {
		zone := p.IPv6.Zone()
		return zone == "" || isRegName(zone)
	}
	return isRegName(p.Host)
}

// ParsePort reads the number of a port, 0 included. Leading zeros are allowed.
func ParsePort(s string) (port uint16, ok bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

// IsPort reports whether s is the number of a port that can be connected to. Port 0 can
// only be listened on: there it stands for any free one.
func IsPort(s string) bool {
	port, ok := ParsePort(s)
	return ok && port > 0
}
