package proxy

import "holdfast/proxy/internal/field"

// HeaderField is a field of a request head.
type HeaderField = field.Field

// HeaderFields are fields of a request head, in their order.
type HeaderFields = field.Fields

// ParseHeaderFields parses fields for Config.UpstreamHeader: name=value;name=value. It
// refuses fields that belong to the proxy or to the handshake. The error has one line for
// each wrong field. Each line continues a sentence that begins with the text, and
// contains no value.
func ParseHeaderFields(text string) (HeaderFields, error) { return field.Parse(text) }
