package web

import (
	"net/http"

	"holdfast/proxy/internal/field"
)

// drops reports whether a client's field, or trailer field, is not passed on.
// ReverseProxy has dropped most fields of one hop already, but under their right names
// alone.
func (s *Server) drops(name string, believed bool) bool {
	p := field.Of(name)
	return p.Has(field.Own) || p.Has(field.Hop) && !p.Has(field.Negotiated) ||
		!field.PassesTrust(name, believed) || s.cfg.Fields.HasAlias(name)
}

// dropHop deletes from a final answer what ReverseProxy leaves of the fields of one hop.
// The body passes as it is, and its length with it.
func dropHop(answer http.Header) {
	for name := range answer {
		if p := field.Of(name); p.Has(field.Hop) && !p.Has(field.Framing) {
			delete(answer, name)
		}
	}
}
