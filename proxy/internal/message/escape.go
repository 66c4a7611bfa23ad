package message

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	escape   = '\\'
	wildcard = '*'
)

// escapes are the bytes that a letter after a backslash stands for.
var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '*': '*', ';': ';', '=': '=', '\\': '\\'}

const allEscapes = `\n, \r, \t, \xHH, \*, \;, \= and \\`

// unescape reads the byte that s begins with, which may be written as an escape. It returns
// what follows.
func unescape(s string) (b byte, rest string, err error) {
	if s[0] != escape {
		return s[0], s[1:], nil
	}
	if len(s) == 1 {
		return 0, "", errors.New(`ends with a backslash; write \\ for one that belongs to the text`)
	}
	if s[1] == 'x' {
		return unescapeHex(s)
	}
	b, ok := escapes[s[1]]
	if !ok {
		return 0, "", fmt.Errorf(`has a backslash before %q, and the escapes are %s; write \\ for a backslash`, firstRune(s[1:]), allEscapes)
	}
	return b, s[2:], nil
}

// unescapeHex is unescape for \xHH.
func unescapeHex(s string) (b byte, rest string, err error) {
	if len(s) < len(`\xHH`) {
		return 0, "", errHex
	}
	n, err := strconv.ParseUint(s[2:4], 16, 8)
	if err != nil {
		return 0, "", errHex
	}
	return byte(n), s[4:], nil
}

var errHex = errors.New(`has \x without two hexadecimal digits; write for example \x00`)

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

// cut is strings.Cut at the first separator that has no backslash before it.
func cut(s, separator string) (before, after string, found bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == escape:
			i++ // the byte that it escapes
		case strings.HasPrefix(s[i:], separator):
			return s[:i], s[i+len(separator):], true
		}
	}
	return s, "", false
}
