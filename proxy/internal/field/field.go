package field

import (
	"io"
	"iter"

	"holdfast/internal/ascii"
)

// Field is one field line of a head: its name as spelled, and its value without the
// white space around it.
type Field struct{ Name, Value string }

// Fields are a head's field lines in their order. Names are compared without regard to
// case, unless a method says otherwise.
type Fields []Field

// Get returns the first value of the named field, or "".
func (f Fields) Get(name string) string {
	first, _ := f.Single(name)
	return first
}

// Count returns how many field lines have that name.
func (f Fields) Count(name string) int {
	_, n := f.Single(name)
	return n
}

// Single returns the first value of the named field, and how many field lines have that
// name.
func (f Fields) Single(name string) (first string, n int) {
	for value := range f.Values(name) {
		if n++; n == 1 {
			first = value
		}
	}
	return first, n
}

// Values walks the values of the named field in their order.
func (f Fields) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range f {
			if ascii.EqualFold(f[i].Name, name) && !yield(f[i].Value) {
				return
			}
		}
	}
}

// HasAlias reports whether a field has that name, or an alias of it.
func (f Fields) HasAlias(name string) bool {
	for i := range f {
		if isAlias(f[i].Name, name) {
			return true
		}
	}
	return false
}

// Append appends the field lines as a head has them.
func (f Fields) Append(dst []byte) []byte {
	for i := range f {
		dst = Append(dst, f[i].Name, f[i].Value)
	}
	return dst
}

// WriteTo writes the field lines as a head has them.
func (f Fields) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(f.Append(nil))
	return int64(n), err
}

// Append appends one field line.
func Append(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}
