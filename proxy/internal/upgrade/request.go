package upgrade

import (
	"net/http"
	"strings"

	"holdfast/internal/ascii"
	"holdfast/internal/hostport"
	"holdfast/proxy/internal/field"
)

// Request is a request head with one reading. The target is in origin-form, or
// "*" if the method is OPTIONS. There is exactly one Host, and it is valid; in
// HTTP/1.0 it may be missing. How long a body is can be told in one way only.
type Request struct {
	Method, Target string
	Minor          int // the n of HTTP/1.n, 0 or 1
	Fields         field.Fields
}

// WantsWebSocket reports whether Upgrade has websocket among others. Such a
// request is an attempt at a handshake, for Check to judge; any other is plain
// HTTP, whatever Sec-WebSocket-* fields it has.
func (r *Request) WantsWebSocket() bool { return r.Fields.HasElement(field.Upgrade, "websocket") }

// Origin returns the web origin of the page that the request is made from, and
// whether there is one: it may be there and empty.
func (r *Request) Origin() (origin string, there bool) {
	origin, n := r.Fields.Single(field.Origin)
	return origin, n > 0
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
	r := &Request{}
	target, refusal := r.parseLine(line)
	if refusal != nil {
		return nil, refusal
	}
	if r.Fields, err = l.fields(); err != nil {
		return nil, refuseHead(err)
	}
	if refusal := r.checkHost(); refusal != nil {
		return nil, refusal
	}
	if refusal := r.setTarget(target); refusal != nil {
		return nil, refusal
	}
	if refusal := r.checkFraming(); refusal != nil {
		return nil, refusal
	}
	return r, nil
}

func refuseHead(err error) *Refusal {
	return badRequest("The request is malformed: " + err.Error() + ".")
}

// parseLine takes `METHOD SP target SP HTTP/1.n`, single spaces only.
func (r *Request) parseLine(line string) (target string, _ *Refusal) {
	method, rest, _ := strings.Cut(line, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || !field.IsToken(method) || !isVersion(version) {
		return "", badRequest("The request line is not a method, a target and a version.")
	}
	switch version {
	case "HTTP/1.1":
		r.Minor = 1
	case "HTTP/1.0":
	default:
		return "", refuse(http.StatusHTTPVersionNotSupported, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
	}
	// Methods have a case, but the upstream may think otherwise.
	if ascii.EqualFold(method, http.MethodConnect) {
		return "", refuse(http.StatusMethodNotAllowed, "No tunnels are opened here.", field.Field{Name: "Allow", Value: "GET"})
	}
	r.Method = method
	return target, nil
}

// isVersion reports whether s is an HTTP-version (RFC 9112 2.3).
func isVersion(s string) bool {
	const form = "HTTP/d.d"
	return len(s) == len(form) && s[:5] == form[:5] && ascii.IsDigit(s[5]) && s[6] == '.' && ascii.IsDigit(s[7])
}

// setTarget takes a target in origin-form as it is. One in absolute-form is
// brought into origin-form, and its authority stands above Host (RFC 9112 3.2.2).
func (r *Request) setTarget(target string) *Refusal {
	if !isTarget(target) {
		return badRequest("The request target has a space, a control character or a #.")
	}
	if r.Target = target; r.isAsterisk() {
		return nil
	}
	if !strings.HasPrefix(target, "/") {
		path, authority, ok := cutAuthority(target)
		if !ok {
			return refuseTarget
		}
		r.Target = r.originForm(path)
		r.setHost(authority)
	}
	if !hostport.IsPercentEncoded(r.Path()) {
		return badRequest("The request target has a malformed percent-encoding.")
	}
	return nil
}

var refuseTarget = badRequest("The request target is neither a path nor an http or ws URI.")

// isAsterisk reports whether the request is about the server as a whole (RFC 9112 3.2.4).
func (r *Request) isAsterisk() bool { return r.Target == "*" && r.Method == http.MethodOptions }

// originForm makes a target of what follows an authority.
func (r *Request) originForm(path string) string {
	switch {
	case path == "" && r.Method == http.MethodOptions:
		return "*" // RFC 9112 3.2.4
	case !strings.HasPrefix(path, "/"):
		return "/" + path // RFC 9112 3.2.1
	default:
		return path
	}
}

func (r *Request) setHost(authority string) {
	for i := range r.Fields {
		if ascii.EqualFold(r.Fields[i].Name, field.Host) {
			r.Fields[i].Value = authority
			return
		}
	}
	r.Fields = append(r.Fields, field.Field{Name: field.Host, Value: authority})
}

// isTarget reports whether s has no space, no control character and no #. Clients never
// send a fragment, and readers disagree on what a # in a target means. Bytes from 0x80
// stand in no URI, but some clients send UTF-8 as it is, and all readers agree on it.
func isTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// cutAuthority splits a target in absolute-form. An authority with userinfo is
// refused, since it is mostly there to deceive (RFC 9110 4.2.4).
func cutAuthority(target string) (path, authority string, ok bool) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !isScheme(scheme) {
		return "", "", false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, path = rest[:end], rest[end:]
	return path, authority, hostport.IsURIHost(authority)
}

func isScheme(s string) bool {
	return ascii.EqualFold(s, "http") || ascii.EqualFold(s, "https") || ascii.EqualFold(s, "ws") || ascii.EqualFold(s, "wss")
}

// checkHost: RFC 9112 3.2 wants 400 for none, several, or an invalid one.
func (r *Request) checkHost() *Refusal {
	host, n := r.Fields.Single(field.Host)
	switch {
	case n == 0 && r.Minor == 0:
		return nil // HTTP/1.0 knows no Host
	case n == 0:
		return badRequest("The request has no Host.")
	case n > 1:
		return badRequest("The request has more than one Host.")
	case !hostport.IsURIHost(host):
		return badRequest("The request's Host is not a host and port.")
	}
	return nil
}

// maxLengthDigits keeps a Content-Length within what all readers can count.
const maxLengthDigits = len("999999999999999999")

// checkFraming wants at most one reading of where the body ends, even of a request that
// must not have a body: what is left unread after a refusal must not become a request to
// another reader.
func (r *Request) checkFraming() *Refusal {
	length, lengths := r.Fields.Single(field.ContentLength)
	coding, codings := r.Fields.Single(field.TransferEncoding)
	switch {
	case lengths > 1:
		return badRequest("The request has more than one Content-Length.")
	case codings > 1:
		return badRequest("The request has more than one Transfer-Encoding.")
	case lengths > 0 && codings > 0: // RFC 9112 6.1
		return badRequest("The request has both Content-Length and Transfer-Encoding.")
	case lengths > 0 && (!ascii.IsDigits(length) || len(length) > maxLengthDigits):
		return badRequest("The request's Content-Length is not a number, or too large.")
	case codings > 0 && r.Minor == 0: // RFC 9112 6.1
		return badRequest("HTTP/1.0 has no Transfer-Encoding.")
	case codings > 0 && !ascii.EqualFold(coding, "chunked"): // RFC 9112 6.1
		return refuse(http.StatusNotImplemented, "The only Transfer-Encoding known here is chunked.")
	}
	return nil
}
