package forwarded

import (
	"strings"

	"holdfast/internal/hostport"
	"holdfast/proxy/internal/field"
)

// element is one forwarded-element (RFC 7239 4): what one proxy saw of a request.
type element struct {
	text        string // as spelled
	from        node   // for=; no text if it is missing
	proto, host string // "" if missing
}

// parseForwarded reads all lines of Forwarded. If one is malformed, or there are too many
// elements, none counts.
func parseForwarded(lookup Lookup) []element {
	var elements []element
	for e, ok := range field.List(lookup(field.Forwarded), cutElement) {
		if !ok || len(elements) == maxNodes {
			return nil
		}
		elements = append(elements, e)
	}
	return elements
}

// cutElement cuts `[ pair ] *( ";" [ pair ] )` off the start of a list. White
// space around a semicolon is not in the grammar, but widespread.
func cutElement(list string) (e element, rest string, ok bool) {
	rest = list
	for more := true; more; rest, more = strings.CutPrefix(rest, ";") {
		if rest = field.TrimLeftOWS(rest); rest == "" || rest[0] == ';' || rest[0] == ',' {
			continue
		}
		if rest, ok = e.cutPair(rest); !ok {
			return element{}, "", false
		}
		rest = field.TrimLeftOWS(rest)
	}
	e.text = field.TrimOWS(list[:len(list)-len(rest)])
	return e, rest, true
}

// cutPair cuts `token "=" ( token / quoted-string )` off the start of s.
func (e *element) cutPair(s string) (rest string, ok bool) {
	name, rest := field.CutToken(s)
	rest, ok = strings.CutPrefix(rest, "=")
	if name == "" || !ok {
		return "", false
	}
	value, rest, quoted := cutValue(rest)
	return rest, (quoted || value != "") && e.set(name, value)
}

// cutValue cuts a token or a quoted-string off the start of s. Only the latter may be
// empty.
func cutValue(s string) (value, rest string, quoted bool) {
	if value, rest, quoted = field.CutQuoted(s); quoted {
		return value, rest, true
	}
	value, rest = field.CutToken(s)
	return value, rest, false
}

// set takes a parameter that is of interest, once (RFC 7239 4).
func (e *element) set(name, value string) (ok bool) {
	switch strings.ToLower(name) {
	case "for":
		if e.from.text != "" {
			return false
		}
		e.from, ok = parseNode(value)
	case "host":
		ok = e.host == "" && hostport.IsURIHost(value)
		e.host = value
	case "proto":
		ok = e.proto == "" && hostport.IsScheme(value)
		e.proto = value
	default:
		ok = true
	}
	return ok
}

// String writes the element anew. What is empty is left out.
func (e element) String() string {
	host := e.host
	if host != "" && !field.IsToken(host) {
		host = `"` + host + `"` // it has nothing to escape
	}
	var pairs []string
	for _, p := range [...]struct{ name, value string }{
		{"for=", e.from.identifier()}, {"host=", host}, {"proto=", e.proto},
	} {
		if p.value != "" {
			pairs = append(pairs, p.name+p.value)
		}
	}
	return strings.Join(pairs, ";")
}
