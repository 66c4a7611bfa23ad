package upgrade

import (
	"iter"
	"strings"

	"holdfast/proxy/internal/field"
)

// permessageDeflate is the one extension that is negotiated through: it changes
// payloads and RSV1 only, and both pass here untouched.
const permessageDeflate = "permessage-deflate"

// extension is one element of Sec-WebSocket-Extensions.
type extension struct {
	text   string // as spelled
	name   string
	params deflateParams // its parameters, read as those of an offer of permessage-deflate
}

// deflateParams is the set of parameters offered for permessage-deflate (RFC 7692 7.1).
type deflateParams uint8

const (
	serverNoContextTakeover deflateParams = 1 << iota
	clientNoContextTakeover
	serverMaxWindowBits
	clientMaxWindowBits
	illegalParam // unknown, doubled, or with a wrong value
)

// isOffer reports whether a client may offer this.
func (e *extension) isOffer() bool {
	return e.name == permessageDeflate && e.params&illegalParam == 0
}

// extensions walks all elements of Sec-WebSocket-Extensions, which may be spread
// over several field lines. It stops with false where the grammar is broken.
func extensions(f field.Fields) iter.Seq2[extension, bool] {
	return field.List(f.Values(field.SecWebSocketExtensions), cutExtension)
}

// cutExtension cuts `token *( ";" extension-param )` off the start of a list
// (RFC 6455 9.1).
func cutExtension(list string) (e extension, rest string, ok bool) {
	if e.name, rest = cutToken(list); e.name == "" {
		return extension{}, "", false
	}
	for strings.HasPrefix(rest, ";") {
		if rest, ok = e.cutParam(rest[len(";"):]); !ok {
			return extension{}, "", false
		}
	}
	e.text = field.TrimOWS(list[:len(list)-len(rest)])
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
	token, rest = field.CutToken(field.TrimLeftOWS(s))
	return token, field.TrimLeftOWS(rest)
}

// cutValue cuts a token, quoted or not, off the start of s. What quotes and
// backslashes hide must be a token, too (RFC 6455 9.1).
func cutValue(s string) (value, rest string) {
	value, rest, quoted := field.CutQuoted(field.TrimLeftOWS(s))
	if !quoted {
		return cutToken(s)
	}
	if !field.IsToken(value) {
		return "", ""
	}
	return value, field.TrimLeftOWS(rest)
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
