package web

import (
	"net/http"

	"holdfast/proxy/internal/upgrade"
)

// refuseMethod names in Allow what most clients would want to know; other
// methods are passed on likewise.
var refuseMethod = &upgrade.Refusal{
	Status: http.StatusMethodNotAllowed,
	Reason: "The proxy passes on any method but CONNECT and TRACE.",
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
	out := newReply(w, r)
	defer s.answered(out)
	request, refusal := parse(r.Method, head)
	if refusal != nil {
		out.closing = true // where its body ends may be in doubt
		out.refuse(refusal)
		return
	}
	s.pass(out, r, g, request)
}

func parse(method string, head []byte) (*upgrade.Request, *upgrade.Refusal) {
	if method == http.MethodConnect || method == http.MethodTrace {
		return nil, refuseMethod
	}
	return upgrade.ParseRequest(head)
}

// answered ends a request, whether or not its answer was cut short.
func (s *Server) answered(out *reply) {
	if out.status == 0 {
		return // the client was gone
	}
	s.cfg.Count(out.status)
	out.hurry(s.cfg.HandshakeTimeout)
}
