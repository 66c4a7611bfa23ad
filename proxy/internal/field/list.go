package field

import (
	"iter"
	"strings"

	"holdfast/internal/ascii"
)

// MaxElements bounds the lists whose elements are compared with each other or with every
// field, so that a head costs time linear in its size. Nothing but that size bounds the
// number of fields.
const MaxElements = 64

// Elements walks a comma-separated list, which may be spread over several field lines and
// have empty elements that count for nothing (RFC 9110 5.3, 5.6.1.2). It does not know
// quotes: see List for elements that may have some.
func (f Fields) Elements(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := range f.Values(name) {
			for more := true; more; {
				var element string
				element, rest, more = strings.Cut(rest, ",")
				if element = TrimOWS(element); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// HasElement reports whether the named list has that token, in whatever case.
func (f Fields) HasElement(name, token string) bool {
	for element := range f.Elements(name) {
		if ascii.EqualFold(element, token) {
			return true
		}
	}
	return false
}

// List walks the elements of a list, whose field lines are given. cut cuts one element off
// the start of a line. The walk stops with false where cut returns false, and where
// neither a comma nor the line's end follows the element. Empty elements count for nothing
// (RFC 9110 5.6.1.2).
func List[T any](lines iter.Seq[string], cut func(line string) (element T, rest string, ok bool)) iter.Seq2[T, bool] {
	return func(yield func(T, bool) bool) {
		for rest := range lines {
			for {
				if rest = strings.TrimLeft(rest, " \t,"); rest == "" {
					break
				}
				var element T
				var ok bool
				element, rest, ok = cut(rest)
				ok = ok && (rest == "" || rest[0] == ',')
				if !yield(element, ok) || !ok {
					return
				}
			}
		}
	}
}
