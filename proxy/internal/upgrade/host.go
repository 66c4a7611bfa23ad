package upgrade

import "strings"

// isHost reports whether s is `uri-host [ ":" port ]` with a host that is not
// empty (RFC 9110 4.2.1, 7.2).
func isHost(s string) bool {
	host, port := s, ""
	if end := strings.IndexByte(s, ']'); end >= 0 {
		host, port = s[:end+1], s[end+1:]
	} else if colon := strings.IndexByte(s, ':'); colon >= 0 {
		host, port = s[:colon], s[colon:]
	}
	return isPort(port) && (isRegName(host) || isIPv6Literal(host))
}

// isPort takes ":" and any digits, even none (RFC 3986 3.2.3), or nothing.
func isPort(s string) bool {
	return s == "" || s == ":" || s[0] == ':' && isDigits(s[1:])
}

// isRegName takes a name or an IPv4 address (RFC 3986 3.2.2). The grammar has a
// comma, too; no host has one, and a list of two hosts looks like that.
func isRegName(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("-._~!$&'()*+;=%", s[i]) < 0 {
			return false
		}
	}
	return s != "" && isPercentEncoded(s)
}

// isIPv6Literal looks at the characters alone; what they mean is between the
// client and the upstream.
func isIPv6Literal(s string) bool {
	inner, ok := strings.CutPrefix(s, "[")
	if !ok {
		return false
	}
	inner, ok = strings.CutSuffix(inner, "]")
	for i := range len(inner) {
		if !isHex(inner[i]) && inner[i] != ':' && inner[i] != '.' {
			return false
		}
	}
	return ok && inner != ""
}

// isPercentEncoded reports whether two hexadecimal digits follow each percent
// sign. What follows a lone one is decoded differently by every reader.
func isPercentEncoded(s string) bool {
	for {
		_, rest, found := strings.Cut(s, "%")
		if !found {
			return true
		}
		if len(rest) < 2 || !isHex(rest[0]) || !isHex(rest[1]) {
			return false
		}
		s = rest[2:]
	}
}

func isDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= lower(c) && lower(c) <= 'f' }

func isAlphanumeric(c byte) bool { return isDigit(c) || 'a' <= lower(c) && lower(c) <= 'z' }
