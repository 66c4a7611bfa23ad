package web

import (
	"net/http"
	"strings"

	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/upgrade"
)

// refuseTrace names in Allow what most clients would want to know. Any other method but
// CONNECT is passed on too.
var refuseTrace = &upgrade.Refusal{
	Status: http.StatusMethodNotAllowed,
	Reason: "The proxy passes no TRACE on.",
	Header: field.Fields{{Name: "Allow", Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}},
}

var refuseHead = &upgrade.Refusal{
	Status: http.StatusRequestHeaderFieldsTooLarge,
	Reason: "The request head is larger than the proxy accepts.",
}

// handle answers a request, or gives its connection away.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	g := guestOf(r)
	if g.expired.Load() { // it has given way while net/http held the next request
		panic(http.ErrAbortHandler)
	}
	as := g.heads.take(r)
	fields := fieldsOf(r, as)
	head := appendHead(nil, r, fields)
	if asked := (upgrade.Request{Fields: fields}); asked.WantsWebSocket() {
		s.handOver(w, g, head)
		return
	}
	out := newReply(w, r, s.cfg.HTTPTimeout)
	g.enterHandler()
	defer s.answered(out, g)
	// net/http passes over a Content-Length beside Transfer-Encoding. A proxy in front
	// may have gone by it (RFC 9112 6.1). The first head has been read strictly.
	out.closing = out.closing || g.requests > 0 && r.TransferEncoding != nil || s.retired.Load()
	g.requests++
	if len(head) > s.cfg.MaxHeaderSize {
		out.closing = true
		out.refuse(refuseHead)
		return
	}
	request, refusal := upgrade.ParseRequest(head) // which refuses CONNECT
	switch {
	case refusal != nil:
	case strings.EqualFold(request.Method, http.MethodTrace):
		refusal = refuseTrace // methods have a case, but the upstream may think otherwise
	case s.cfg.Name != "" && s.cfg.HasPassed(request):
		refusal = upgrade.RefuseLoop
	}
	if refusal != nil {
		out.closing = true // where its body ends may be in doubt
		out.refuse(refusal)
		return
	}
	s.pass(out, r, g, request, as)
}

// answered ends a request, whether or not its answer was cut short.
func (s *Server) answered(out *reply, g *Guest) {
	patience := s.cfg.HandshakeTimeout
	switch stalled := out.stalledBy(); {
	case out.status == 0: // the client was gone
		out.takeBy(longAgo)
		patience = 0
	case stalled == nobody:
		out.allow() // net/http has the end of the answer still to write
	case stalled == ofUploader:
		patience = 0 // it was used up
	}
	if out.status != 0 {
		s.cfg.Count(out.status)
	}
	g.leaveHandler(patience, out.closing)
}
