package forwarded

import (
	"net/netip"
	"strings"
)

// A node is one station of a request on its way (RFC 7239 6).
type node struct {
	addr netip.Addr // zero if it is unknown or obfuscated
	text string     // as X-Forwarded-For has it
}

// unknown is what a node is called of which nothing is known (RFC 7239 6.2).
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
		return node{text: s}, strings.EqualFold(s, unknown) || isObfuscated(s)
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
	if inner, found := strings.CutPrefix(s, "["); found {
		host, port, found := strings.Cut(inner, "]")
		addr, err := netip.ParseAddr(host)
		return addr, found && err == nil && addr.Is6() && isPort(port)
	}
	host, port := s, ""
	if strings.Count(s, ":") == 1 {
		colon := strings.IndexByte(s, ':')
		host, port = s[:colon], s[colon:]
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil && isPort(port)
}

// isPort takes a colon and a port, which may be obfuscated (RFC 7239 6), or nothing.
func isPort(s string) bool {
	port, found := strings.CutPrefix(s, ":")
	if !found {
		return s == ""
	}
	return isObfuscated(port) || len(port) <= len("65535") && consistsOf(port, isDigit)
}

// isObfuscated reports whether s is a name that tells nothing (RFC 7239 6.3).
func isObfuscated(s string) bool {
	name, found := strings.CutPrefix(s, "_")
	return found && consistsOf(name, isObfuscatedByte)
}

func isObfuscatedByte(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("._-", c) >= 0
}
