package hostport

import (
	"net/netip"
	"strings"

	"holdfast/internal/ascii"
)

// isRegName reports whether s is a reg-name that is not empty: a name or an IPv4 address
// (RFC 3986 3.2.2). The RFC's grammar has a comma, too. Hosts have none, and a list of
// two hosts looks like one with a comma.
func isRegName(s string) bool {
	return ascii.Consists(s, isRegNameByte) && IsPercentEncoded(s)
}

func isRegNameByte(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("-._~!$&'()*+;=%", c) >= 0
}

// IsAddressOrName reports whether host can be listened on or connected to: an IP address
// without brackets, perhaps with a zone, or a name. A dot may end a name. Digits and dots
// that are not an address are not a name either: some resolvers make an address of them
// (inet_aton(3)).
func IsAddressOrName(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == "" || ascii.Consists(addr.Zone(), isZoneByte)
	}
	if strings.Trim(host, "0123456789.") == "" {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if !IsLabel(label) {
			return false
		}
	}
	return true
}

// isZoneByte reports whether c may be in a zone, which is the name of a network interface or
// its number. Linux allows nearly any byte there, but a URL could not be written with it
// (RFC 6874 2).
func isZoneByte(c byte) bool { return isLabelByte(c) || c == '.' || c == '~' || c == ':' || c == '@' }

// IsLabel reports whether s can be one label of a name. The underscore is in no host name
// by the rules (RFC 1123 2.1), but in many by use: container networks name their services
// with it.
func IsLabel(s string) bool { return ascii.Consists(s, isLabelByte) }

func isLabelByte(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '_' }

func isAlphanumeric(c byte) bool { return ascii.IsDigit(c) || ascii.IsLetter(c) }
