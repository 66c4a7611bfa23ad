package web

import (
	"net/http"
	"strings"

	"holdfast/proxy/internal/upgrade"
)

// refuseTrace names in Allow what most clients would want to know; any other
// method but CONNECT is passed on likewise.
var refuseTrace = &upgrade.Refusal{
	Status: http.StatusMethodNotAllowed,
	Reason: "The proxy passes no TRACE on.",
	Header: upgrade.Fields{{Name: "Allow", Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}},
}

// handle answers a request, or gives its connection away.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	g := guestOf(r)
	fields := fieldsOf(r)
	head := appendHead(nil, r, fields)
	if asked := (upgrade.Request{Fields: fields}); asked.WantsWebSocket() {
		s.handOver(w, g, head)
		return
	}
	out := newReply(w, r, s.cfg.WriteTimeout)
	defer s.answered(out)
	request, refusal := upgrade.ParseRequest(head) // which refuses CONNECT
	if refusal == nil && strings.EqualFold(request.Method, http.MethodTrace) {
		refusal = refuseTrace // methods have a case, but the upstream may think otherwise
	}
	if refusal != nil {
		out.closing = true // where its body ends may be in doubt
		out.refuse(refusal)
		return
	}
	s.pass(out, r, g, request)
}

// answered ends a request, whether or not its answer was cut short.
func (s *Server) answered(out *reply) {
	if out.status == 0 {
		return // the client was gone
	}
	s.cfg.Count(out.status)
	out.allow() // net/http has the end of the answer still to write
	patience := s.cfg.HandshakeTimeout
	if out.late() {
		patience = 0 // it was used up
	}
	out.hurry(patience)
}
