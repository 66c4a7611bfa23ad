package proxy

import "holdfast/proxy/internal/origins"

// OriginPattern stands for web origins that browsers may open sessions from.
type OriginPattern = origins.Pattern

// ParseOrigin reads an origin as browsers send it, like https://example.com, or
// a pattern of host names, like *.example.com, whose asterisk stands for one label.
// The error is the end of a sentence that begins with the text.
func ParseOrigin(text string) (OriginPattern, error) { return origins.Parse(text) }
