package forwarded

import "strings"

// isScheme reports whether s is a URI scheme (RFC 3986 3.1).
func isScheme(s string) bool { return consistsOf(s, isSchemeByte) && isAlpha(s[0]) }

func isSchemeByte(c byte) bool { return isAlpha(c) || isDigit(c) || strings.IndexByte("+-.", c) >= 0 }

// isHost looks at the characters alone (RFC 3986 3.2.2); what they mean is
// between those who say it and the upstream. The grammar has a comma, too; no host
// has one, and a list looks like that.
func isHost(s string) bool { return consistsOf(s, isHostByte) }

func isHostByte(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("-._~!$&'()*+;=%:[]", c) >= 0
}

// isToken: RFC 9110 5.6.2.
func isToken(s string) bool { return consistsOf(s, isTokenByte) }

func isTokenByte(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// consistsOf reports whether s has at least one byte, and none but those.
func consistsOf(s string, isOne func(byte) bool) bool {
	for i := range len(s) {
		if !isOne(s[i]) {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// isControl: HTAB may stand in a field value (RFC 9110 5.5), all others may not.
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

func trimOWS(s string) string { return strings.Trim(s, " \t") }

func trimLeftOWS(s string) string { return strings.TrimLeft(s, " \t") }
