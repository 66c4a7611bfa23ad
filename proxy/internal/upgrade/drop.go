package upgrade

// dropList has the names of those of a head's fields that are not passed on: those
// for this hop only, and those that the rebuilt head states itself, among which
// are all Sec-WebSocket-*.
//
// An underscore counts as a hyphen. CGI and its heirs (WSGI, Rack, PHP) give
// X_Forwarded_For and X-Forwarded-For the same variable, so a client could
// otherwise say what is ours to say.
type dropList []string

// fromClient is what a request to the upstream does not take over. Via may have more.
var fromClient = dropList(append([]string{
	"Forwarded",
	"Host",
	"X-Forwarded-For",
	"X-Forwarded-Host",
	"X-Forwarded-Proto",
}, hopByHop...))

// fromUpstream is what a 101 to the client does not take over.
var fromUpstream = dropList(hopByHop)

// hopByHop are the fields that concern one connection whether Connection names
// them or not (RFC 9110 7.6.1), and those that frame a body, of which a
// handshake has none.
var hopByHop = []string{
	"Connection",
	"Content-Length",
	"HTTP2-Settings",
	"Keep-Alive",
	"Proxy-Authenticate",
	"Proxy-Authorization",
	"Proxy-Connection",
	"TE",
	"Trailer",
	"Transfer-Encoding",
	"Upgrade",
}

// notInTrailer is what no trailer passes on (RFC 9110 6.5.1): a recipient may merge
// it into the header, where these fields say how to read, keep or follow a message,
// under which conditions to act on it, or who sent it.
var notInTrailer = dropList(append([]string{
	"Age",
	"Authorization",
	"Cache-Control",
	"Content-Encoding",
	"Content-Range",
	"Content-Type",
	"Cookie",
	"Date",
	"Expect",
	"Expires",
	"Forwarded",
	"Host",
	"If-Match",
	"If-Modified-Since",
	"If-None-Match",
	"If-Range",
	"If-Unmodified-Since",
	"Location",
	"Max-Forwards",
	"Origin",
	"Pragma",
	"Range",
	"Retry-After",
	"Set-Cookie",
	"Vary",
	"WWW-Authenticate",
}, hopByHop...))

func (d dropList) has(name string) bool {
	for _, dropped := range d {
		if isAlias(name, dropped) {
			return true
		}
	}
	return hasAliasPrefix(name, "Sec-WebSocket-")
}

// hasAlias reports whether a field has that name, or one that CGI would confuse with it.
func (f Fields) hasAlias(name string) bool {
	for i := range f {
		if isAlias(f[i].Name, name) {
			return true
		}
	}
	return false
}

// isAlias reports whether CGI has the same variable for both names.
func isAlias(a, b string) bool { return len(a) == len(b) && hasAliasPrefix(a, b) }

// hasAliasPrefix reports whether a CGI variable for name begins like one for prefix.
func hasAliasPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if alias(name[i]) != alias(prefix[i]) {
			return false
		}
	}
	return true
}

func alias(c byte) byte {
	if c == '_' {
		return '-'
	}
	return lower(c)
}

// passes reports whether a field is passed on. named are the fields that
// Connection gives to this hop; whatever they are, they cannot take away what
// the rebuilt head states itself.
func (d dropList) passes(name string, named []string) bool {
	return !d.has(name) && !isNamed(name, named)
}

func isNamed(name string, named []string) bool {
	for _, n := range named {
		if equalFold(name, n) {
			return true
		}
	}
	return false
}

// named returns the fields that Connection names beyond those dropped anyway,
// and whether Connection is a list of tokens and not absurdly long.
func (d dropList) named(fields Fields) (names []string, ok bool) {
	for option := range fields.elements("Connection") {
		if !isToken(option) {
			return nil, false
		}
		if d.has(option) {
			continue
		}
		if len(names) == maxElements {
			return nil, false
		}
		names = append(names, option)
	}
	return names, true
}
