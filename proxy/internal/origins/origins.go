// Package origins decides from which web pages a browser may open a session. The
// browser says in the Origin field of its request whose page asks (RFC 6454 7);
// Parse reads what an operator writes, and Pattern.Matches compares.
//
// It protects people whose browsers carry cookies against pages that would use
// them. What is no browser sends any Origin it likes: this is no authentication.
package origins

import (
	"cmp"
	"strings"
)

// Pattern stands for one web origin, or for those of all hosts that lie one label
// below a name. The zero Pattern stands for none.
type Pattern struct {
	scheme   string // "" for http and https
	anyLabel bool   // one more label stands before host
	host     string // as browsers write it; IPv6 in brackets
	port     string // "" for the scheme's own
}

const schemeEnd = "://"

// defaultPorts are the ports that browsers leave out of an origin (RFC 6454 6.2).
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// Matches reports whether the Pattern stands for an origin. It takes the value of
// the Origin field in the one form that browsers write (RFC 6454 6.2), and is
// false for all others, "null" among them. Only a port that could have been left
// out may stand there.
func (p Pattern) Matches(origin string) bool {
	scheme, authority, found := strings.Cut(origin, schemeEnd)
	host, port := splitPort(authority)
	return found && p.hasScheme(scheme) && p.hasHost(host) && p.hasPort(port, scheme)
}

func (p Pattern) hasScheme(scheme string) bool {
	if p.scheme == "" {
		return scheme == "http" || scheme == "https"
	}
	return scheme == p.scheme
}

func (p Pattern) hasHost(host string) bool {
	if p.anyLabel {
		label, rest, _ := strings.Cut(host, ".")
		if !isLabel(label) {
			return false
		}
		host = rest
	}
	return host == p.host && host != ""
}

func (p Pattern) hasPort(port, scheme string) bool {
	own := defaultPorts[scheme]
	return cmp.Or(port, own) == cmp.Or(p.port, own)
}

// String returns the Pattern as Parse takes it.
func (p Pattern) String() string {
	var b strings.Builder
	if p.scheme != "" {
		b.WriteString(p.scheme + schemeEnd)
	}
	if p.anyLabel {
		b.WriteString("*.")
	}
	b.WriteString(p.host)
	if p.port != "" {
		b.WriteString(":" + p.port)
	}
	return b.String()
}

// splitPort splits what stands before and behind the last colon. A colon with
// nothing behind it stays with the host, which it spoils, as does one inside an
// IPv6 address.
func splitPort(authority string) (host, port string) {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || colon+1 == len(authority) || strings.HasSuffix(authority, "]") {
		return authority, ""
	}
	return authority[:colon], authority[colon+1:]
}

// isLabel takes one label of a host name as browsers write it: in lower case, and
// names beyond ASCII in punycode. The underscore is in no host name by the rules
// (RFC 1123 2.1), but in many by use.
func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || isDigit(c) || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
