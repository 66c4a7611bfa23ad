package proxy

import "holdfast/proxy/internal/origins"

// An OriginPattern matches web origins from which browsers may open sessions.
type OriginPattern = origins.Pattern

// ParseOrigin parses an origin as browsers send it, like https://example.com, or a
// pattern of host names, like *.example.com, whose asterisk matches one label. An error's
// text continues a sentence that begins with the parsed text.
func ParseOrigin(text string) (OriginPattern, error) { return origins.Parse(text) }
