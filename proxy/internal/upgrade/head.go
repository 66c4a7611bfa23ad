package upgrade

import (
	"bytes"
	"iter"
	"strings"
)

// maxElements bounds the lists whose elements are compared with each other or
// with every field, so that a head costs time linear in its size. Nothing bounds
// the number of fields but that size.
const maxElements = 64

// Field is one field line of a head: its name as spelled, its value without
// the white space around it.
type Field struct{ Name, Value string }

// Fields are a head's field lines in their order. Names are compared without
// regard to ASCII case.
type Fields []Field

// Get returns the first value of the named field, or "".
func (f Fields) Get(name string) string {
	for value := range f.Values(name) {
		return value
	}
	return ""
}

// Count returns how many field lines have that name.
func (f Fields) Count(name string) int {
	_, n := f.single(name)
	return n
}

// single returns the first value of the named field and how often it is there.
func (f Fields) single(name string) (first string, n int) {
	for value := range f.Values(name) {
		if n++; n == 1 {
			first = value
		}
	}
	return first, n
}

// Values walks the values of the named field in their order.
func (f Fields) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range f {
			if equalFold(f[i].Name, name) && !yield(f[i].Value) {
				return
			}
		}
	}
}

// elements walks a comma-separated list, which may be spread over several field
// lines and have empty elements that count for nothing (RFC 9110 5.3, 5.6.1.2).
// It is no good for lists with quoted strings.
func (f Fields) elements(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := range f.Values(name) {
			for more := true; more; {
				var element string
				element, rest, more = strings.Cut(rest, ",")
				if element = trimOWS(element); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// has reports whether the named list has that token, in whatever case.
func (f Fields) has(name, token string) bool {
	for element := range f.elements(name) {
		if equalFold(element, token) {
			return true
		}
	}
	return false
}

// HeadEnd returns the index just after the blank line that ends the head at the
// start of b, or -1 if there is none yet. from is how many bytes an earlier
// call has been given, 0 at the first.
//
// Lines that end in a bare LF count, too. In a request they are an error, but
// one to be told at once and not when the client's time is up. Of leading empty
// lines one is skipped (RFC 9112 2.2); two are a head, an empty one.
func HeadEnd(b []byte, from int) int {
	const longest = len("\n\r\n")
	at := max(0, from-(longest-1))
	for {
		lf := bytes.IndexByte(b[at:], '\n')
		if lf < 0 {
			return -1
		}
		at += lf + 1
		switch next := b[at:]; {
		case len(next) >= 1 && next[0] == '\n':
			return at + 1
		case len(next) >= 2 && next[0] == '\r' && next[1] == '\n':
			return at + 2
		}
	}
}

// malformed says what is wrong with a head, without quoting it.
type malformed string

func (m malformed) Error() string { return string(m) }

const (
	errLineEnd     = malformed("a line does not end in CRLF")
	errNoEnd       = malformed("no blank line ends the head")
	errTrailing    = malformed("bytes follow the blank line")
	errFolded      = malformed("a line begins with white space")
	errNoColon     = malformed("a field has no colon")
	errFieldName   = malformed("a field name is not a token")
	errFieldValue  = malformed("a field value has a control character")
	errStatusLine  = malformed("the status line is not HTTP/1.x and a status")
	errStatusRange = malformed("the status is below 100")
)

// lines reads a head line by line.
type lines struct {
	rest string
	// lenient takes what RFC 9112 lets a recipient take: a bare LF as a line's
	// end (2.2), white space between name and colon (5.1, in responses only).
	lenient bool
}

// next cuts off one line and returns it without its end.
func (l *lines) next() (string, error) {
	lf := strings.IndexByte(l.rest, '\n')
	if lf < 0 {
		return "", errNoEnd
	}
	line := l.rest[:lf]
	l.rest = l.rest[lf+1:]
	bare, crlf := strings.CutSuffix(line, "\r")
	if !crlf && !l.lenient {
		return "", errLineEnd
	}
	return bare, nil
}

// fields reads all field lines and the blank line, which must be the last.
func (l *lines) fields() (Fields, error) {
	fields := make(Fields, 0, strings.Count(l.rest, "\n"))
	for {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		field, err := l.field(line)
		if err != nil {
			return nil, err
		}
		fields = append(fields, field)
	}
	if l.rest != "" {
		return nil, errTrailing
	}
	return fields, nil
}

// field parses one field line, which is not empty.
func (l *lines) field(line string) (Field, error) {
	if isOWS(line[0]) {
		return Field{}, errFolded // see unfold, which responses have gone through
	}
	colon := strings.IndexByte(line, ':')
	if colon < 0 {
		return Field{}, errNoColon
	}
	name, value := line[:colon], trimOWS(line[colon+1:])
	if l.lenient {
		name = trimOWS(name)
	}
	if !isToken(name) {
		return Field{}, errFieldName
	}
	if !isFieldValue(value) {
		return Field{}, errFieldValue
	}
	return Field{name, value}, nil
}

// unfold makes one line of each field that is folded over several: spaces take the
// place of every line end within it (RFC 9112 5.2). White space that begins any other
// line is left: it continues no field, and makes the head malformed.
func unfold(head string) string {
	if !strings.Contains(head, "\n ") && !strings.Contains(head, "\n\t") {
		return head
	}
	b := []byte(head)
	isField := false // the line has a colon, and is not the first
	for at := bytes.IndexByte(b, '\n') + 1; at < len(b); at++ {
		switch {
		case b[at] == ':':
			isField = true
		case b[at] != '\n':
		case isField && at+1 < len(b) && isOWS(b[at+1]):
			b[at] = ' '
			if b[at-1] == '\r' {
				b[at-1] = ' '
			}
		default:
			isField = false
		}
	}
	return string(b)
}

// isFieldValue reports whether s has no control characters but HTAB. Bytes from
// 0x80 are obs-text and opaque (RFC 9110 5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

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

// tokenLen returns how many bytes at the start of s can be one token.
func tokenLen(s string) int {
	for i := range len(s) {
		if !tchar[s[i]] {
			return i
		}
	}
	return len(s)
}

func isToken(s string) bool { return s != "" && tokenLen(s) == len(s) }

func isOWS(c byte) bool { return c == ' ' || c == '\t' }

// trimOWS cuts spaces and tabs off both ends, and nothing else.
func trimOWS(s string) string {
	s = trimLeftOWS(s)
	for s != "" && isOWS(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func trimLeftOWS(s string) string {
	for s != "" && isOWS(s[0]) {
		s = s[1:]
	}
	return s
}

// equalFold compares without regard to ASCII case. strings.EqualFold would take
// the Kelvin sign for a k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
