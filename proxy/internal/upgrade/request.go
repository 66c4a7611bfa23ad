package upgrade

import (
	"errors"
	"net/http"
	"strings"
)

// Request is a request head with one reading. The target is in origin-form;
// there is exactly one Host, and it is valid.
type Request struct {
	Method, Target string
	Fields         Fields
}

// Path returns the target without its query, which may hold secrets.
func (r *Request) Path() string {
	path, _, _ := strings.Cut(r.Target, "?")
	return path
}

// ParseRequest reads a whole request head, as HeadEnd found it.
func ParseRequest(head []byte) (*Request, *Refusal) {
	l := lines{rest: strings.TrimPrefix(string(head), "\r\n")}
	line, err := l.next()
	if err != nil {
		return nil, refuseHead(err)
	}
	method, target, refusal := parseRequestLine(line)
	if refusal != nil {
		return nil, refusal
	}
	fields, err := l.fields()
	if err != nil {
		return nil, refuseHead(err)
	}
	r := &Request{Method: method, Fields: fields}
	if refusal := checkHost(fields); refusal != nil {
		return nil, refusal
	}
	if refusal := r.setTarget(target); refusal != nil {
		return nil, refusal
	}
	if refusal := checkFraming(fields); refusal != nil {
		return nil, refusal
	}
	return r, nil
}

func refuseHead(err error) *Refusal {
	if errors.Is(err, errManyFields) {
		return refuse(http.StatusRequestHeaderFieldsTooLarge, "The request has too many fields.")
	}
	return badRequest("The request is malformed: " + err.Error() + ".")
}

// parseRequestLine takes `METHOD SP target SP HTTP/1.1`, single spaces only.
func parseRequestLine(line string) (method, target string, _ *Refusal) {
	method, rest, _ := strings.Cut(line, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || !isToken(method) || !isVersion(version) {
		return "", "", badRequest("The request line is not a method, a target and a version.")
	}
	switch version {
	case "HTTP/1.1":
		return method, target, nil
	case "HTTP/1.0":
		// RFC 9110 7.8: an Upgrade in HTTP/1.0 is to be ignored.
		return "", "", badRequest("HTTP/1.0 has no Upgrade; WebSocket needs HTTP/1.1.")
	default:
		return "", "", refuse(http.StatusHTTPVersionNotSupported, "Only HTTP/1.1 is spoken here.")
	}
}

// isVersion reports whether s is an HTTP-version (RFC 9112 2.3).
func isVersion(s string) bool {
	const form = "HTTP/d.d"
	return len(s) == len(form) && s[:5] == form[:5] && isDigit(s[5]) && s[6] == '.' && isDigit(s[7])
}

// setTarget takes a target in origin-form as it is. One in absolute-form is
// brought into origin-form, and its authority stands above Host (RFC 9112 3.2.2).
func (r *Request) setTarget(target string) *Refusal {
	if !isTarget(target) {
		return badRequest("The request target has a character that no URI has.")
	}
	origin, authority := target, ""
	if !strings.HasPrefix(target, "/") {
		var ok bool
		if origin, authority, ok = cutAuthority(target); !ok {
			return badRequest("The request target is neither a path nor an http or ws URI.")
		}
		for i := range r.Fields {
			if equalFold(r.Fields[i].Name, "Host") {
				r.Fields[i].Value = authority
			}
		}
	}
	r.Target = origin
	if !isPercentEncoded(r.Path()) {
		return badRequest("The request target has a malformed percent-encoding.")
	}
	return nil
}

// isTarget reports whether all bytes are visible ASCII. A fragment is never
// sent; readers disagree on what a # in a target means.
func isTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// cutAuthority splits a target in absolute-form. An authority with userinfo is
// refused, since it is mostly there to deceive (RFC 9110 4.2.4).
func cutAuthority(target string) (origin, authority string, ok bool) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !isScheme(scheme) {
		return "", "", false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, origin = rest[:end], rest[end:]
	if !strings.HasPrefix(origin, "/") {
		origin = "/" + origin // RFC 9112 3.2.1
	}
	return origin, authority, isHost(authority)
}

func isScheme(s string) bool {
	return equalFold(s, "http") || equalFold(s, "https") || equalFold(s, "ws") || equalFold(s, "wss")
}

// checkHost: RFC 9112 3.2 wants 400 for none, several, or an invalid one.
func checkHost(fields Fields) *Refusal {
	host, n := fields.single("Host")
	switch {
	case n == 0:
		return badRequest("The request has no Host.")
	case n > 1:
		return badRequest("The request has more than one Host.")
	case !isHost(host):
		return badRequest("The request's Host is not a host and port.")
	}
	return nil
}

// checkFraming wants at most one reading of where the body ends, though a
// handshake must not have one: what the refusal of a body leaves unread must
// not become a request to anyone.
func checkFraming(fields Fields) *Refusal {
	length, lengths := fields.single("Content-Length")
	coding, codings := fields.single("Transfer-Encoding")
	switch {
	case lengths > 1:
		return badRequest("The request has more than one Content-Length.")
	case codings > 1:
		return badRequest("The request has more than one Transfer-Encoding.")
	case lengths > 0 && codings > 0: // RFC 9112 6.1
		return badRequest("The request has both Content-Length and Transfer-Encoding.")
	case lengths > 0 && !isDigits(length):
		return badRequest("The request's Content-Length is not a number.")
	case codings > 0 && !equalFold(coding, "chunked"): // RFC 9112 6.1
		return refuse(http.StatusNotImplemented, "The only Transfer-Encoding known here is chunked.")
	}
	return nil
}
