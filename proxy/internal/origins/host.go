package origins

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"holdfast/internal/hostport"
)

// maxHost is the length of the longest host name (RFC 1035 2.3.4: 255 octets,
// which count one for the root and one for the first label's length).
const maxHost = 253

// errIPv6 is about brackets and what stands in them.
var errIPv6 = errors.New(`has no valid host; an IPv6 address is written like "https://[2001:db8::1]:8443"`)

// parseHost reads a host in lower case, or what follows an asterisk in one.
func parseHost(at hostport.Parts) (string, error) {
	host := at.Host
	switch {
	case host == "":
		return "", errors.New(`has no host; write for example "https://app.example.com"`)
	case strings.Contains(host, "*"):
		return "", errors.New(`has a misplaced asterisk; it stands for the whole leftmost label of a name, like "*.example.com"`)
	case len(host) > maxHost:
		return "", fmt.Errorf("has a host name of more than %d characters", maxHost)
	case at.IPv6.IsValid():
		return formatIPv6(at.IPv6)
	case endsInNumber(host):
		return host, checkIPv4(host)
	}
	return host, checkName(host)
}

func isAddress(at hostport.Parts) bool { return at.IPv6.IsValid() || endsInNumber(at.Host) }

func checkName(host string) error {
	for label := range strings.SplitSeq(host, ".") {
		if label == "" {
			return errors.New("has a dot too many; a host name neither begins nor ends with one, nor has two in a row")
		}
		if !isLabel(label) {
			return errors.New("has no valid host; a name is made of letters, digits, hyphens, underscores and dots")
		}
	}
	return nil
}

// endsInNumber reports whether a browser takes a host for an IPv4 address: it
// does if the last label is a decimal or hexadecimal number (URL Standard, "ends in
// a number checker"). The name of an upstream may end in one: see
// hostport.IsAddressOrName.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	digits, hex := strings.CutPrefix(last, "0x")
	return last != "" && !strings.ContainsFunc(digits, func(r rune) bool {
		return !(r >= '0' && r <= '9' || hex && r >= 'a' && r <= 'f')
	})
}

// checkIPv4 refuses the ways of writing an address that browsers change.
func checkIPv4(host string) error {
	if _, err := netip.ParseAddr(host); err != nil {
		return errors.New(`has no valid host; an IPv4 address is written like "192.0.2.1"`)
	}
	return nil
}

// formatIPv6 returns an address as browsers write it, which is not as netip does
// if it is IPv4-mapped (URL Standard, "IPv6 serializer").
func formatIPv6(addr netip.Addr) (string, error) {
	switch {
	case addr.Zone() != "":
		return "", errIPv6
	case addr.Is4In6():
		b := addr.As16()
		return fmt.Sprintf("::ffff:%x:%x", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15])), nil
	}
	return addr.String(), nil
}
