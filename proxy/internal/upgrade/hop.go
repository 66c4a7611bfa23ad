package upgrade

import (
	"net/http"
	"strings"
)

// Named are the fields that a message's Connection gives to one hop, in lower case.
type Named map[string]bool

// NamedBy reads the values of Connection. An option that is no token names nothing.
func NamedBy(connection []string) Named {
	named := Named{}
	for _, value := range connection {
		for option := range (Fields{{"Connection", value}}).elements("Connection") {
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
	named := NamedBy(answer["Connection"])
	for name := range named {
		answer.Del(name)
	}
	for _, name := range hopByHop {
		answer.Del(name)
	}
	return named
}

// PassesInTrailer reports whether a trailer field, of a request or an answer, is passed on.
func (n Named) PassesInTrailer(name string) bool {
	return !notInTrailer.has(name) && !n[strings.ToLower(name)]
}
