package upgrade

import (
	"holdfast/internal/ascii"
	"holdfast/proxy/internal/field"
)

// dropped are the properties of those of a head's fields that are not passed on.
type dropped field.Properties

const (
	// fromClient is what a request to the upstream does not take over. Via may have more.
	fromClient = dropped(field.Hop | field.Own | field.Handshake)
	// fromUpstream is what a 101 to the client does not take over.
	fromUpstream = dropped(field.Hop | field.Handshake)
)

func (d dropped) has(name string) bool { return field.Of(name).Has(field.Properties(d)) }

// passes reports whether a field is passed on. named are the fields that Connection gives
// to this hop. Whatever they are, they cannot take away what the rebuilt head states
// itself.
func (d dropped) passes(name string, named []string) bool {
	return !d.has(name) && !isNamed(name, named)
}

func isNamed(name string, named []string) bool {
	for _, n := range named {
		if ascii.EqualFold(name, n) {
			return true
		}
	}
	return false
}

// named returns the fields that Connection names beyond those dropped anyway. An option
// that is not a token names nothing. It returns false if there are absurdly many.
func (d dropped) named(fields field.Fields) (names []string, ok bool) {
	for option := range fields.Elements(field.Connection) {
		if !field.IsToken(option) || d.has(option) {
			continue
		}
		if len(names) == field.MaxElements {
			return nil, false
		}
		names = append(names, option)
	}
	return names, true
}
