package field

import "strings"

// tchar are the bytes of a token (RFC 9110 5.6.2).
var tchar = func() (set [256]bool) {
	const symbols = "!#$%&'*+-.^_`|~"
	const digits = "0123456789"
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, c := range []byte(symbols + digits + letters) {
		set[c] = true
	}
	return set
}()

// IsToken reports whether s is a token. The names of fields are tokens.
func IsToken(s string) bool { return s != "" && tokenLen(s) == len(s) }

// CutToken cuts the longest token off the start of s. The token is empty if s begins with
// none.
func CutToken(s string) (token, rest string) {
	n := tokenLen(s)
	return s[:n], s[n:]
}

func tokenLen(s string) int {
	for i := range len(s) {
		if !tchar[s[i]] {
			return i
		}
	}
	return len(s)
}

// IsValue reports whether s can stand in a field's value: it has no control character but
// HTAB. Bytes from 0x80 are obs-text and opaque (RFC 9110 5.5).
func IsValue(s string) bool {
	for i := range len(s) {
		if isControl(s[i]) {
			return false
		}
	}
	return true
}

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// CutQuoted cuts a quoted-string off the start of s, and returns what its quotes and
// backslashes stand for (RFC 9110 5.6.4). It returns false if s does not begin with a
// whole one.
func CutQuoted(s string) (value, rest string, ok bool) {
	inner, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		return "", "", false
	}
	var unescaped []byte
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"':
			return string(unescaped), inner[i+1:], true
		case c == '\\' && i+1 < len(inner):
			i++
		}
		if isControl(inner[i]) {
			break
		}
		unescaped = append(unescaped, inner[i])
	}
	return "", "", false
}

// IsOWS reports whether c is a space or a tab (RFC 9110 5.6.3).
func IsOWS(c byte) bool { return c == ' ' || c == '\t' }

// TrimOWS cuts spaces and tabs off both ends, and nothing else.
func TrimOWS(s string) string {
	s = TrimLeftOWS(s)
	for s != "" && IsOWS(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// TrimLeftOWS cuts spaces and tabs off the start.
func TrimLeftOWS(s string) string {
	for s != "" && IsOWS(s[0]) {
		s = s[1:]
	}
	return s
}
