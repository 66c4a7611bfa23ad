package forwarded

import "strings"

// element is one forwarded-element (RFC 7239 4): what one proxy saw of a request.
type element struct {
	text        string // as spelled
	from        node   // for=; no text if it is missing
	proto, host string // "" if missing
}

// parseForwarded reads all lines of Forwarded. If one is malformed, none counts.
func parseForwarded(lookup Lookup) []element {
	var elements []element
	for rest := range lookup("Forwarded") {
		for {
			// Empty elements count for nothing (RFC 9110 5.6.1.2).
			if rest = strings.TrimLeft(rest, " \t,"); rest == "" {
				break
			}
			var e element
			var ok bool
			if e, rest, ok = cutElement(rest); !ok || len(elements) == maxNodes {
				return nil
			}
			elements = append(elements, e)
		}
	}
	return elements
}

// cutElement cuts `[ pair ] *( ";" [ pair ] )` off the start of a list. White
// space around a semicolon is no grammar, but widespread. Its caller skips the comma.
func cutElement(list string) (e element, rest string, ok bool) {
	rest = list
	for more := true; more; rest, more = strings.CutPrefix(rest, ";") {
		if rest = trimLeftOWS(rest); rest == "" || rest[0] == ';' || rest[0] == ',' {
			continue
		}
		if rest, ok = e.cutPair(rest); !ok {
			return element{}, "", false
		}
		rest = trimLeftOWS(rest)
	}
	e.text = trimOWS(list[:len(list)-len(rest)])
	return e, rest, rest == "" || rest[0] == ','
}

// cutPair cuts `token "=" ( token / quoted-string )` off the start of s.
func (e *element) cutPair(s string) (rest string, ok bool) {
	name, rest, ok := strings.Cut(s, "=")
	if !ok || !isToken(name) {
		return "", false
	}
	value, rest, ok := cutValue(rest)
	return rest, ok && e.set(name, value)
}

// cutValue cuts a token, quoted or not, off the start of s.
func cutValue(s string) (value, rest string, ok bool) {
	if quoted, found := strings.CutPrefix(s, `"`); found {
		return cutQuoted(quoted)
	}
	end := strings.IndexAny(s, ";, \t")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:], isToken(s[:end])
}

// cutQuoted cuts the rest of a quoted-string off the start of s (RFC 9110 5.6.4).
func cutQuoted(s string) (value, rest string, ok bool) {
	var unescaped []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return string(unescaped), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		if isControl(s[i]) {
			break
		}
		unescaped = append(unescaped, s[i])
	}
	return "", "", false
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
		ok = e.host == "" && isHost(value)
		e.host = value
	case "proto":
		ok = e.proto == "" && isScheme(value)
		e.proto = value
	default:
		ok = true
	}
	return ok
}

// String writes the element anew. What is empty is left out.
func (e element) String() string {
	host := e.host
	if host != "" && !isToken(host) {
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
