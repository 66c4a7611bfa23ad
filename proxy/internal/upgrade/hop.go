package upgrade

import (
	"net/http"
	"strings"

	"holdfast/proxy/internal/field"
)

// Named are the fields that a message's Connection gives to one hop, in lower case.
type Named map[string]bool

// NamedBy reads the values of Connection. An option that is not a token names nothing.
func NamedBy(connection []string) Named {
	named := Named{}
	for _, value := range connection {
		for option := range (field.Fields{{Name: field.Connection, Value: value}}).Elements(field.Connection) {
			named[strings.ToLower(option)] = true
		}
	}
	return named
}

// StripHop deletes from an answer, final or interim, the fields that concern one hop
// alone, by their names or because Connection names them, and those that frame a
// body: net/http keeps what they say elsewhere. It returns the fields that
// Connection named, since they may be in the trailer too.
func StripHop(answer http.Header) Named {
	named := NamedBy(answer[field.Connection])
	for name := range answer {
		if field.Of(name).Has(field.Hop) || named[strings.ToLower(name)] {
			delete(answer, name)
		}
	}
	return named
}

// PassesInTrailer reports whether a trailer field, of a request or an answer, is passed on.
func (n Named) PassesInTrailer(name string) bool {
	return !field.Of(name).Has(field.NoTrailer) && !n[strings.ToLower(name)]
}
