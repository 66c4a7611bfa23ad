package upgrade

import (
	"iter"
	"strings"
)

// permessageDeflate is the one extension that is negotiated through: it changes
// payloads and RSV1 only, and both pass here untouched.
const permessageDeflate = "permessage-deflate"

// extension is one element of Sec-WebSocket-Extensions.
type extension struct {
	text   string // as spelled
	name   string
	params deflateParams // its parameters, read as permessage-deflate's
}

// deflateParams is the set of parameters given to permessage-deflate (RFC 7692 7.1).
type deflateParams uint8

const (
	serverNoContextTakeover deflateParams = 1 << iota
	clientNoContextTakeover
	serverMaxWindowBits
	clientMaxWindowBits
	clientBitsWithoutValue // only an offer may leave the value out
	illegalParam           // unknown, doubled, or with a wrong value
)

// isOffer reports whether a client may offer this.
func (e *extension) isOffer() bool {
	return e.name == permessageDeflate && e.params&illegalParam == 0
}

// isAnswer reports whether a server may answer this to permessage-deflate.
func (e *extension) isAnswer() bool {
	return e.isOffer() && e.params&clientBitsWithoutValue == 0
}

// extensions walks all elements of Sec-WebSocket-Extensions, which may be spread
// over several field lines. It stops with false where the grammar is broken.
func (f Fields) extensions() iter.Seq2[extension, bool] {
	return func(yield func(extension, bool) bool) {
		for rest := range f.Values("Sec-WebSocket-Extensions") {
			for {
				// Empty elements count for nothing (RFC 9110 5.6.1.2).
				if rest = strings.TrimLeft(rest, " \t,"); rest == "" {
					break
				}
				var e extension
				var ok bool
				if e, rest, ok = cutExtension(rest); !yield(e, ok) || !ok {
					return
				}
			}
		}
	}
}

// cutExtension cuts `token *( ";" extension-param )` off the start of a list
// (RFC 6455 9.1). Its caller skips the comma.
func cutExtension(list string) (e extension, rest string, ok bool) {
	if e.name, rest = cutToken(list); e.name == "" {
		return extension{}, "", false
	}
	for strings.HasPrefix(rest, ";") {
		if rest, ok = e.cutParam(rest[len(";"):]); !ok {
			return extension{}, "", false
		}
	}
	if rest != "" && rest[0] != ',' {
		return extension{}, "", false
	}
	e.text = trimOWS(list[:len(list)-len(rest)])
	return e, rest, true
}

// cutParam cuts `token [ "=" ( token / quoted-string ) ]` off the start of s.
func (e *extension) cutParam(s string) (rest string, ok bool) {
	name, rest := cutToken(s)
	if name == "" {
		return "", false
	}
	value, hasValue := "", false
	if rest, hasValue = strings.CutPrefix(rest, "="); hasValue {
		if value, rest = cutValue(rest); value == "" {
			return "", false
		}
	}
	e.params = e.params.with(name, value)
	return rest, true
}

// cutToken cuts a token and the white space on both its sides off the start of s.
func cutToken(s string) (token, rest string) {
	s = trimLeftOWS(s)
	n := tokenLen(s)
	return s[:n], trimLeftOWS(s[n:])
}

// cutValue cuts a token, quoted or not, off the start of s. What quotes and
// backslashes hide must be a token, too (RFC 6455 9.1).
func cutValue(s string) (value, rest string) {
	inner, quoted := strings.CutPrefix(trimLeftOWS(s), `"`)
	if !quoted {
		return cutToken(s)
	}
	inner, rest, closed := strings.Cut(inner, `"`)
	value = unescape(inner)
	if !closed || !isToken(value) {
		return "", ""
	}
	return value, trimLeftOWS(rest)
}

// unescape resolves quoted-pairs (RFC 9110 5.6.4).
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}

// with adds one parameter; value is empty if there is none.
func (p deflateParams) with(name, value string) deflateParams {
	var param deflateParams
	legal := false
	switch name {
	case "server_no_context_takeover":
		param, legal = serverNoContextTakeover, value == ""
	case "client_no_context_takeover":
		param, legal = clientNoContextTakeover, value == ""
	case "server_max_window_bits":
		param, legal = serverMaxWindowBits, isWindowBits(value)
	case "client_max_window_bits":
		param, legal = clientMaxWindowBits, value == "" || isWindowBits(value)
		if value == "" {
			p |= clientBitsWithoutValue
		}
	}
	if !legal || p&param != 0 {
		return p | illegalParam
	}
	return p | param
}

// isWindowBits takes 8 to 15 without leading zeros (RFC 7692 7.1.2).
func isWindowBits(s string) bool {
	switch s {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}
