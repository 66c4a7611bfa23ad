package config

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"holdfast/proxy"
)

// ownFields are those that the proxy alone states: they concern one connection
// only (RFC 9110, section 7.6.1), frame a body, or say where a request comes
// from and goes to.
var ownFields = []string{
	"Connection",
	"Content-Length",
	"Forwarded",
	"Host",
	"HTTP2-Settings",
	"Keep-Alive",
	"Proxy-Authenticate",
	"Proxy-Authorization",
	"Proxy-Connection",
	"TE",
	"Trailer",
	"Transfer-Encoding",
	"Upgrade",
	"X-Forwarded-For",
	"X-Forwarded-Host",
	"X-Forwarded-Proto",
}

// ownPrefix begins the names of the handshake's fields. They are the proxy's own too.
const ownPrefix = "Sec-WebSocket-"

// parseHeaderFields reads name=value;name=value. Its error joins one for each field that
// is at fault. They call a field by its number, because any part of the text may be a
// secret.
func parseHeaderFields(value string) (fields headerFields, err error) {
	var bad []error
	numbers := map[string]int{} // by alias
	for text := range strings.SplitSeq(value, ";") {
		field, err := parseHeaderField(text)
		fields = append(fields, field)
		number, first := len(fields), numbers[alias(field.Name)]
		switch {
		case err != nil:
			bad = append(bad, fmt.Errorf("has a field, number %d, that %w", number, err))
		case first > 0:
			bad = append(bad, fmt.Errorf("has fields of the same name, numbers %d and %d; leave one out", first, number))
		default:
			numbers[alias(field.Name)] = number
		}
	}
	return fields, errors.Join(bad...)
}

func parseHeaderField(text string) (proxy.HeaderField, error) {
	name, value, found := strings.Cut(text, "=")
	field := proxy.HeaderField{Name: strings.TrimSpace(name), Value: strings.Trim(value, " \t")}
	switch {
	case !found:
		return field, errors.New("has no equals sign; write name=value;name=value, with no semicolon in a value")
	case !isToken(field.Name):
		return field, errors.New("has no valid name; use letters, digits and hyphens")
	case strings.ContainsFunc(field.Value, isControl):
		return field, errors.New("has a control character in its value; write one line of text")
	}
	return field, checkNotOwn(field.Name)
}

func checkNotOwn(name string) error {
	if strings.HasPrefix(alias(name), alias(ownPrefix)) {
		return fmt.Errorf("is one of %s*, which belong to the handshake; leave it out", ownPrefix)
	}
	for _, own := range ownFields {
		switch {
		case alias(name) != alias(own):
		case own == "Host":
			return errors.New("is Host; set HOLDFAST_UPSTREAM_HOST instead")
		default:
			return fmt.Errorf("is %s, which the proxy states itself; leave it out", own)
		}
	}
	return nil
}

// WriteTo writes the fields as a request has them.
func (fields headerFields) WriteTo(w io.Writer) (n int64, err error) {
	for _, field := range fields {
		written, err := fmt.Fprintf(w, "%s: %s\r\n", field.Name, field.Value)
		n += int64(written)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// alias returns one spelling for all names that become the same variable in CGI and its
// heirs (WSGI, Rack, PHP).
func alias(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
