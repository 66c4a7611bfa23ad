package proxy

import (
	"slices"

	"holdfast/proxy/internal/origins"
)

// An OriginPattern matches web origins from which browsers may open sessions.
type OriginPattern = origins.Pattern

// ParseOrigin parses an origin as browsers send it, like https://example.com, or a
// pattern of host names, like *.example.com, whose asterisk matches one label. An error's
// text continues a sentence that begins with the parsed text.
func ParseOrigin(text string) (OriginPattern, error) { return origins.Parse(text) }

// AllowsOrigin reports whether pages of that origin may open sessions. If there are no
// patterns, all may. An empty origin matches no pattern.
func AllowsOrigin(patterns []OriginPattern, origin string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p OriginPattern) bool { return p.Matches(origin) })
}
