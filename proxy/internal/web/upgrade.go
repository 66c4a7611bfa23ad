package web

import (
	"net/http"
	"slices"
)

// handOver gives a connection away on which a request for a WebSocket has come.
// If the request has a body, that is not read: its framing is in the head, and
// the receiver refuses it by that.
func (s *Server) handOver(w http.ResponseWriter, g *Guest, head []byte) {
	_, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.cfg.Log.Error("take connection out of HTTP for an upgrade", "client", g.name(), "error", err)
		g.Close()
		s.gone(g)
		return
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered()) // what is buffered is there
	g.Early = slices.Concat(early, g.Early)
	g.leaving.Do(func() {
		s.cfg.Upgrade(g, head)
		s.guests.Done()
	})
}
