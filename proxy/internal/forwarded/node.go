package forwarded

import (
	"net/netip"
	"strings"

	"holdfast/internal/ascii"
	"holdfast/internal/hostport"
)

// A node is one station of a request on its way (RFC 7239 6).
type node struct {
	addr netip.Addr // zero if it is unknown or obfuscated
	text string     // as X-Forwarded-For has it
}

// unknown is the name of a node that nothing is known about (RFC 7239 6.2).
const unknown = "unknown"

// parseNode takes an address, with or without a port, or what RFC 7239 has
// instead of one. A zone is cut off: it means nothing elsewhere.
func parseNode(s string) (n node, ok bool) {
	switch addr, ok := parseAddr(s); {
	case ok && addr.Zone() != "":
		return addressed(plain(addr)), true
	case ok:
		return node{plain(addr), s}, true
	default:
		return node{text: s}, ascii.EqualFold(s, unknown) || isObfuscated(s)
	}
}

func addressed(addr netip.Addr) node { return node{addr, addr.String()} }

// bare is the node without a port.
func (n node) bare() node {
	if n.addr.IsValid() {
		return addressed(n.addr)
	}
	return n
}

// identifier is the node as Forwarded has it (RFC 7239 6).
func (n node) identifier() string {
	switch {
	case n.addr.Is6():
		return `"[` + n.addr.String() + `]"`
	case n.addr.Is4():
		return n.addr.String()
	default:
		return n.text
	}
}

// parseAddr reads an address and forgets its port. Without brackets, the colons
// of an IPv6 address are all its own.
func parseAddr(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr, true
	}
	p, ok := hostport.Split(s)
	if !ok || p.HasPort && !isPort(p.Port) {
		return netip.Addr{}, false
	}
	if p.IPv6.IsValid() {
		return p.IPv6, true
	}
	addr, err := netip.ParseAddr(p.Host)
	return addr, err == nil
}

// isPort takes up to five digits, or a name that tells nothing (RFC 7239 6). The number is
// not looked at: it is forgotten.
func isPort(s string) bool {
	return isObfuscated(s) || len(s) <= len("65535") && ascii.IsDigits(s)
}

// isObfuscated reports whether s is a name that tells nothing (RFC 7239 6.3).
func isObfuscated(s string) bool {
	name, found := strings.CutPrefix(s, "_")
	return found && ascii.Consists(name, isObfuscatedByte)
}

func isObfuscatedByte(c byte) bool {
	return ascii.IsLetter(c) || ascii.IsDigit(c) || strings.IndexByte("._-", c) >= 0
}
