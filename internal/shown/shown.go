// Package shown makes text from outside fit for a message: bounded, escaped, and
// without what may be a password. Error messages and log lines that repeat what
// somebody wrote go through it.
package shown

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Max is how many bytes of a value a message shows.
const Max = 80

// Quoted returns a refused value for a message: in quotes, escaped, bounded, and
// without what may be a secret.
func Quoted(value string) string {
	return strconv.Quote(bounded(Hidden(value)))
}

// Hidden replaces the parts of a URL that may be secrets: user name and password,
// and whatever follows its path.
func Hidden(value string) string {
	if i := strings.IndexAny(value, "?#"); i >= 0 {
		value = value[:i+1] + "…"
	}
	if at := strings.LastIndexByte(value, '@'); at >= 0 {
		scheme := strings.Index(value[:at], "://")
		if scheme < 0 {
			return "…" + value[at:]
		}
		return value[:scheme+len("://")] + "…" + value[at:]
	}
	return value
}

// bounded returns the first Max bytes of value, and never a part of a character.
func bounded(value string) string {
	if len(value) <= Max {
		return value
	}
	end := Max
	for !utf8.RuneStart(value[end]) {
		end--
	}
	return value[:end] + "…"
}

// Printable returns a name from outside for a terminal: bounded, and escaped where it has to be.
func Printable(name string) string {
	quoted := strconv.Quote(bounded(name))
	return quoted[1 : len(quoted)-1]
}
