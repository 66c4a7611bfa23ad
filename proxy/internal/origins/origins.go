// Package origins decides from which web pages a browser may open a session. The
// browser says in the Origin field of its request whose page asks (RFC 6454 7).
// Parse reads what an operator writes, and Pattern.Matches compares.
//
// It protects people whose browsers carry cookies against pages that would use
// them. A client that is not a browser sends any Origin it likes: this is not an
// authentication.
package origins

import (
	"cmp"
	"strings"

	"holdfast/internal/hostport"
)

// Pattern stands for one web origin, or for those of all hosts that lie one label
// below a name. The zero Pattern stands for none.
type Pattern struct {
	scheme   string // "" for http and https
	anyLabel bool   // one more label stands before host
	host     string // as browsers write it; IPv6 without brackets
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
	at, ok := hostport.Split(authority)
	return found && ok && p.hasScheme(scheme) && p.hasHost(at.Host) && p.hasPort(at, scheme)
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

func (p Pattern) hasPort(at hostport.Parts, scheme string) bool {
	own := defaultPorts[scheme]
	return at.HasPort == (at.Port != "") && cmp.Or(at.Port, own) == cmp.Or(p.port, own)
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
	if strings.Contains(p.host, ":") {
		b.WriteString("[" + p.host + "]")
	} else {
		b.WriteString(p.host)
	}
	if p.port != "" {
		b.WriteString(":" + p.port)
	}
	return b.String()
}

// isLabel takes one label of a host name as browsers write it: in lower case, and
// names beyond ASCII in punycode.
func isLabel(s string) bool { return hostport.IsLabel(s) && s == strings.ToLower(s) }
