package upgrade

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"holdfast/internal/ascii"
	"holdfast/proxy/internal/field"
)

// Response is a response head.
type Response struct {
	Status int
	Reason string
	Fields field.Fields
	// Minor is the n of HTTP/1.n.
	Minor int
}

// Interim reports whether a final response is still to come. None comes after a 101:
// it ends HTTP on the connection.
func (r *Response) Interim() bool {
	return r.Status/100 == 1 && r.Status != http.StatusSwitchingProtocols
}

// Append writes the head anew, for net/http to read. White space before a colon is
// gone (RFC 9112 5.1): net/http would take it for part of the name. So is close
// from the options of Connection: net/http would forget the others with it. Of the fields
// that Trailer announces only those are left that may be in a trailer (RFC 9110 6.5.1):
// net/http would refuse the answer for some others.
func (r *Response) Append(dst []byte) []byte {
	dst = append(dst, "HTTP/1."...)
	dst = strconv.AppendInt(dst, int64(r.Minor), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, r.Reason...)
	dst = append(dst, "\r\n"...)
	for _, f := range r.Fields {
		if !ascii.EqualFold(f.Name, field.Connection) && !ascii.EqualFold(f.Name, field.Trailer) {
			dst = field.Append(dst, f.Name, f.Value)
		}
	}
	var options []string
	for option := range r.Fields.Elements(field.Connection) {
		if !ascii.EqualFold(option, "close") {
			options = append(options, option)
		}
	}
	dst = appendList(dst, field.Connection, options)
	var announced []string
	for name := range r.Fields.Elements(field.Trailer) {
		if !field.Of(name).Has(field.NoTrailer) {
			announced = append(announced, name)
		}
	}
	dst = appendList(dst, field.Trailer, announced)
	return append(dst, "\r\n"...)
}

// CheckStart returns an error if b does not begin as a response does. No more of it need be
// awaited then: what is not HTTP may have no line's end.
func CheckStart(b []byte) error {
	const start, tlsAlert = "HTTP/1.", 21 // RFC 8446 5.1
	switch n := min(len(b), len(start)); {
	case n > 0 && b[0] == tlsAlert:
		return malformedResponse(ErrTLS)
	case string(b[:n]) != start[:n]:
		return malformedResponse(errStatusLine)
	}
	return nil
}

// ParseResponse reads a whole response head, as HeadEnd found it.
func ParseResponse(head []byte) (*Response, error) {
	l := lines{rest: unfold(string(head)), lenient: true}
	line, err := l.next()
	if err != nil {
		return nil, malformedResponse(err)
	}
	r, err := parseStatusLine(line)
	if err != nil {
		return nil, malformedResponse(err)
	}
	if r.Fields, err = l.fields(); err != nil {
		return nil, malformedResponse(err)
	}
	return r, nil
}

func malformedResponse(err error) error { return fmt.Errorf("malformed response: %w", err) }

// parseStatusLine takes `HTTP/1.n SP 3DIGIT SP [ reason ]`; without a reason the
// last space may be missing, as it is from many servers.
func parseStatusLine(line string) (*Response, error) {
	const version, status = len("HTTP/1.1"), len("101")
	if !strings.HasPrefix(line, "HTTP/1.") || len(line) < version+1+status {
		return nil, errStatusLine
	}
	minor, code, rest := line[version-1], line[version+1:version+1+status], line[version+1+status:]
	if !ascii.IsDigit(minor) || line[version] != ' ' || !ascii.IsDigits(code) || rest != "" && rest[0] != ' ' || !field.IsValue(rest) {
		return nil, errStatusLine
	}
	n, err := strconv.Atoi(code)
	if err != nil || n < 100 {
		return nil, errStatusRange
	}
	return &Response{Status: n, Reason: field.TrimOWS(rest), Minor: int(minor - '0')}, nil
}
