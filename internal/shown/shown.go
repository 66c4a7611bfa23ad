// Package shown prepares text from outside for messages. It limits its length, escapes it,
// and removes parts that may be passwords. Error messages and log lines use it for the
// text of users and peers.
package shown

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Max is how many bytes of a value a message shows at most.
const Max = 80

// Quoted returns a refused value for a message: in quotes, escaped, cut after Max bytes,
// and without the parts that may be secrets.
func Quoted(value string) string {
	return strconv.Quote(bounded(Hidden(value)))
}

// Hidden returns a URL with the parts that may be secrets replaced: user name, password,
// and everything that follows the path.
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

// bounded returns value, cut after Max bytes or before the character that does not fit. A
// value that is not UTF-8 may have no character that begins near there.
func bounded(value string) string {
	if len(value) <= Max {
		return value
	}
	for end := Max; end > Max-utf8.UTFMax; end-- {
		if utf8.RuneStart(value[end]) {
			return value[:end] + "…"
		}
	}
	return value[:Max] + "…"
}

// Printable returns a name from outside for a terminal: cut after Max bytes and escaped.
func Printable(name string) string { return Escaped(bounded(name)) }

// Escaped returns text for a terminal, where it stands without quotes. Backslashes and what
// cannot be printed are escaped. Quotation marks are not.
func Escaped(text string) string {
	marks := strings.Split(text, `"`)
	for i, part := range marks {
		quoted := strconv.Quote(part)
		marks[i] = quoted[1 : len(quoted)-1]
	}
	return strings.Join(marks, `"`)
}

// Write returns the remedy "write TEXT", or else if text is longer than a message shows:
// nobody can follow a remedy that was cut.
func Write(text, otherwise string) string {
	if len(text) > Max {
		return otherwise
	}
	return "write " + strconv.Quote(text)
}
