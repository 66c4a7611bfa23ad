package upgrade

// dropList says which of a head's fields are not passed on: those for this hop
// only, and those that the rebuilt head states itself.
//
// An underscore counts as a hyphen. CGI and its heirs (WSGI, Rack, PHP) give
// X_Forwarded_For and X-Forwarded-For the same variable, so a client could
// otherwise say what is ours to say.
type dropList struct {
	names    []string
	prefixes []string
}

// fromClient is what a request to the upstream does not take over.
var fromClient = dropList{
	names:    append([]string{"Host", "Forwarded"}, hopByHop...),
	prefixes: []string{"Sec-WebSocket-", "X-Forwarded-"},
}

// fromUpstream is what a 101 to the client does not take over.
var fromUpstream = dropList{
	names:    hopByHop,
	prefixes: []string{"Sec-WebSocket-"},
}

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

func (d *dropList) has(name string) bool {
	for _, dropped := range d.names {
		if len(name) == len(dropped) && hasAliasPrefix(name, dropped) {
			return true
		}
	}
	for _, prefix := range d.prefixes {
		if hasAliasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

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

// appendTo appends the fields that are passed on. named are the fields that
// Connection gives to this hop; whatever they are, they cannot take away what
// the rebuilt head states itself.
func (d *dropList) appendTo(dst []byte, fields Fields, named []string) []byte {
	for _, field := range fields {
		if !d.has(field.Name) && !isNamed(field.Name, named) {
			dst = appendField(dst, field.Name, field.Value)
		}
	}
	return dst
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
func (d *dropList) named(fields Fields) (names []string, ok bool) {
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
