package upgrade

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Response is a response head.
type Response struct {
	Status int
	Reason string
	Fields Fields
	// Minor is the n of HTTP/1.n.
	Minor int
}

// Interim reports whether a final response is still to come. 101 is final in
// this respect: after it there is no more HTTP.
func (r *Response) Interim() bool {
	return r.Status/100 == 1 && r.Status != http.StatusSwitchingProtocols
}

// Named returns the fields that Connection gives to this hop, beyond those that
// never go further.
func (r *Response) Named() []string {
	names, _ := fromUpstream.named(r.Fields) // of a list that is none, what it begins with
	return names
}

// ParseResponse reads a whole response head, as HeadEnd found it.
func ParseResponse(head []byte) (*Response, error) {
	l := lines{rest: string(head), lenient: true}
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
	if !isDigit(minor) || line[version] != ' ' || !isDigits(code) || rest != "" && rest[0] != ' ' || !isFieldValue(rest) {
		return nil, errStatusLine
	}
	n, err := strconv.Atoi(code)
	if err != nil || n < 100 {
		return nil, errStatusRange
	}
	return &Response{Status: n, Reason: trimOWS(rest), Minor: int(minor - '0')}, nil
}
