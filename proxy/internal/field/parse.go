package field

import (
	"errors"
	"fmt"
	"strings"
)

// Parse reads the fields that an operator adds to every request, name=value;name=value.
// Its error joins one for each field that is at fault. Each is the end of a sentence that
// begins with the text, and calls a field by its number: any part of the text may be a
// secret.
func Parse(text string) (Fields, error) {
	var fields Fields
	var bad []error
	numbers := map[string]int{} // by alias
	for part := range strings.SplitSeq(text, ";") {
		f, err := parseOne(part)
		fields = append(fields, f)
		number, first := len(fields), numbers[alias(f.Name)]
		switch {
		case err != nil:
			bad = append(bad, fmt.Errorf("has a field, number %d, that %w", number, err))
		case first > 0:
			bad = append(bad, fmt.Errorf("has fields of the same name, numbers %d and %d; leave one out", first, number))
		default:
			numbers[alias(f.Name)] = number
		}
	}
	return fields, errors.Join(bad...)
}

// parseOne reads name=value. Each name may stand on a line of its own. A tab is refused
// in a value, though the grammar has it: it comes there by mistake.
func parseOne(text string) (Field, error) {
	name, value, found := strings.Cut(text, "=")
	f := Field{Name: strings.TrimSpace(name), Value: TrimOWS(value)}
	switch {
	case !found:
		return f, errors.New("has no equals sign; write name=value;name=value, with no semicolon in a value")
	case !IsToken(f.Name):
		return f, errors.New("has no valid name; use letters, digits and hyphens")
	case strings.ContainsAny(f.Value, "\n\r"):
		return f, errors.New("has a line break in its value; write the fields in one line, with semicolons between them")
	case !IsValue(f.Value) || strings.Contains(f.Value, "\t"):
		return f, errors.New("has a control character in its value; write one line of text")
	}
	return f, checkReserved(f.Name)
}

func checkReserved(name string) error {
	switch p, known := Of(name), find(name).name; {
	case !p.Has(Reserved):
		return nil
	case p.Has(Handshake):
		return errors.New("is one of Sec-WebSocket-*, which belong to the handshake; leave it out")
	case known == Host:
		return errors.New("is Host; set HOLDFAST_UPSTREAM_HOST instead")
	case known == "Proxy":
		return errors.New("is Proxy, which programs behind CGI take for the address of a proxy that they are to use; leave it out")
	case known == Expect:
		return errors.New("is Expect, which belongs to a single request; leave it out")
	default:
		return fmt.Errorf("is %s, which the proxy states itself; leave it out", known)
	}
}
