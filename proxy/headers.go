package proxy

import "holdfast/proxy/internal/field"

// HeaderField is a field of a request head.
type HeaderField = field.Field

// HeaderFields are fields of a request head, in their order.
type HeaderFields = field.Fields

// ParseHeaderFields reads fields for Config.UpstreamHeader, name=value;name=value. Fields
// that are the proxy's own, or the handshake's, are refused. The error has one line for
// each field that is at fault. Each is the end of a sentence that begins with the text,
// and shows no value.
func ParseHeaderFields(text string) (HeaderFields, error) { return field.Parse(text) }
