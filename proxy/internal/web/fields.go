package web

import (
	"strings"

	"holdfast/proxy/internal/forwarded"
)

// forwardedPrefix is what the names of the de-facto standard begin with.
const forwardedPrefix = "x-forwarded-"

// ownFields are those that concern one connection only (RFC 9110 7.6.1), or frame
// a body, or are the proxy's own to state. ReverseProxy has dropped most of
// them already, but under their right names alone.
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
	"Trailer",
	"Transfer-Encoding",
	"Upgrade",
	"X-Forwarded-For",
	"X-Forwarded-Host",
	"X-Forwarded-Proto",
}

// statedBy are the aliases of all fields that a client cannot send.
func statedBy(operator []forwarded.Field) map[string]bool {
	stated := make(map[string]bool)
	for _, name := range ownFields {
		stated[alias(name)] = true
	}
	for _, f := range operator {
		stated[alias(f.Name)] = true
	}
	return stated
}

// drops reports whether a client's field, or trailer field, is not passed on.
// Of the X-Forwarded-* that are not the proxy's own to state, those of a
// trusted peer pass, if spelled with hyphens: the underscore is how somebody
// further away would get around that peer.
func (s *Server) drops(name string, believed bool) bool {
	a := alias(name)
	switch {
	case s.stated[a]:
		return true
	case strings.HasPrefix(a, forwardedPrefix):
		return !believed || strings.Contains(name, "_")
	default:
		return false
	}
}

// alias is what all names have in common that CGI and its heirs (WSGI, Rack,
// PHP) give the same variable.
func alias(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}
