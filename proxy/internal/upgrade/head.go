package upgrade

import (
	"bytes"
	"strings"

	"holdfast/proxy/internal/field"
)

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
	// ErrTLS is within the error of an answer that is TLS.
	ErrTLS = malformed("it is TLS; write wss:// or https:// in HOLDFAST_UPSTREAM")
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
func (l *lines) fields() (field.Fields, error) {
	fields := make(field.Fields, 0, strings.Count(l.rest, "\n"))
	for {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		f, err := l.field(line)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	if l.rest != "" {
		return nil, errTrailing
	}
	return fields, nil
}

// field parses one field line, which is not empty.
func (l *lines) field(line string) (field.Field, error) {
	if field.IsOWS(line[0]) {
		return field.Field{}, errFolded // see unfold, which responses have gone through
	}
	colon := strings.IndexByte(line, ':')
	if colon < 0 {
		return field.Field{}, errNoColon
	}
	name, value := line[:colon], field.TrimOWS(line[colon+1:])
	if l.lenient {
		name = field.TrimOWS(name)
	}
	if !field.IsToken(name) {
		return field.Field{}, errFieldName
	}
	if !field.IsValue(value) {
		return field.Field{}, errFieldValue
	}
	return field.Field{Name: name, Value: value}, nil
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
		case isField && at+1 < len(b) && field.IsOWS(b[at+1]):
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
