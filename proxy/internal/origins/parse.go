package origins

import (
	"errors"
	"fmt"
	"strings"

	"holdfast/internal/hostport"
)

// Parse reads an origin, like https://app.example.com or https://localhost:3000,
// or a pattern of origins, like *.example.com or https://*.example.com:8443. The
// asterisk stands for exactly one label. Without a scheme http and https are
// meant, and without a port the scheme's own. The error is the end of a sentence
// that begins with the text.
func Parse(text string) (Pattern, error) {
	if err := checkWhole(text); err != nil {
		return Pattern{}, err
	}
	scheme, rest, hasScheme := strings.Cut(text, schemeEnd)
	if !hasScheme {
		scheme, rest = "", text
	}
	p, err := parseAuthority(rest)
	if err != nil {
		return Pattern{}, err
	}
	if hasScheme {
		return p.withScheme(strings.ToLower(scheme))
	}
	return p.withoutScheme()
}

// checkWhole refuses the texts that are not an origin of one page or host.
func checkWhole(text string) error {
	switch {
	case text == "":
		return errors.New(`is empty; write an origin, like "https://app.example.com"`)
	case text == "*":
		return errors.New("would allow any page; to do so, leave the variable unset")
	case strings.EqualFold(text, "null"):
		return errors.New("cannot be allowed: all pages that have no origin of their own share it, sandboxed ones among them")
	case !isASCII(text): // some letters beyond ASCII become ASCII ones in lower case
		return errors.New(`has a character beyond ASCII; write a host name in punycode, like "https://xn--bcher-kva.example"`)
	}
	return nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

func (p Pattern) withoutScheme() (Pattern, error) {
	if p.anyLabel {
		return p, nil
	}
	return Pattern{}, fmt.Errorf("has no scheme; write %q or %q", "https://"+p.String(), "http://"+p.String())
}

// services are the schemes that a page's address is taken for, and the page's own.
var services = map[string]string{"ws": "http", "wss": "https"}

func (p Pattern) withScheme(scheme string) (Pattern, error) {
	if page, ok := services[scheme]; ok {
		p.scheme = page
		return Pattern{}, fmt.Errorf("names a service, not a page; write the page's origin, like %q", p)
	}
	if !hostport.IsScheme(scheme) {
		return Pattern{}, errors.New(`has no valid scheme; write for example "https://app.example.com"`)
	}
	p.scheme = scheme
	if p.port == defaultPorts[scheme] {
		p.port = ""
	}
	return p, nil
}

// parseAuthority reads what follows the scheme.
func parseAuthority(text string) (Pattern, error) {
	if err := checkAuthority(text); err != nil {
		return Pattern{}, err
	}
	name, anyLabel := strings.CutPrefix(strings.ToLower(text), "*.")
	at, ok := hostport.Split(name)
	switch {
	case !ok:
		return Pattern{}, errIPv6
	case at.HasPort && !isPort(at.Port):
		return Pattern{}, errors.New("has no valid port; it must be a number from 1 to 65535")
	case anyLabel && isAddress(at):
		return Pattern{}, errors.New("has an asterisk before an address; it can only stand before a name")
	}
	host, err := parseHost(at)
	if err != nil {
		return Pattern{}, err
	}
	return Pattern{anyLabel: anyLabel, host: host, port: at.Port}, nil
}

// checkAuthority refuses what stands in URLs, but not in origins.
func checkAuthority(text string) error {
	path := strings.IndexAny(text, `/\`)
	switch {
	case strings.ContainsAny(text, "?#"):
		return errors.New("must not contain a query or fragment; an origin ends after host and port")
	case path >= 0 && path == len(text)-1:
		return errors.New("must not end with a slash; leave it off")
	case path >= 0:
		return errors.New("must not contain a path; an origin ends after host and port")
	case strings.Contains(text, "@"):
		return errors.New("must not contain a user name or password")
	case strings.HasSuffix(text, ":"):
		return errors.New("must not end with a colon; leave it off, or add a port")
	case strings.Count(text, ":") > 1 && !strings.Contains(text, "["):
		return errors.New(`has more than one colon; an IPv6 address stands in brackets, like "https://[2001:db8::1]:8443"`)
	}
	return nil
}

// isPort takes a port as browsers write it, without leading zeros.
func isPort(s string) bool { return hostport.IsPort(s) && s[0] != '0' }
