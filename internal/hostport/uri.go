package hostport

import (
	"strings"

	"holdfast/internal/ascii"
)

// IsScheme reports whether s is the scheme of a URI (RFC 3986 3.1).
func IsScheme(s string) bool { return ascii.Consists(s, isSchemeByte) && ascii.IsLetter(s[0]) }

func isSchemeByte(c byte) bool { return isAlphanumeric(c) || strings.IndexByte("+-.", c) >= 0 }

// IsPercentEncoded reports whether two hexadecimal digits follow each percent sign (RFC
// 3986 2.1). Readers differ in how they decode what follows a lone one.
func IsPercentEncoded(s string) bool {
	for {
		_, rest, found := strings.Cut(s, "%")
		if !found {
			return true
		}
		if len(rest) < 2 || !ascii.IsHex(rest[0]) || !ascii.IsHex(rest[1]) {
			return false
		}
		s = rest[2:]
	}
}
