package proxy

import (
	"net/netip"

	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/upgrade"
)

// oneTarget returns a target, and counts a session that goes there.
func (s *Server) oneTarget() *backend.Target {
	route := s.pool.Route(&upgrade.Request{}, netip.Addr{})
	route.Next(s.clock.now())
	return route.To
}

// queueOfOne returns the queue of a target.
func (l *loop) queueOfOne() *queue {
	t := l.server.oneTarget()
	t.Leave()
	return l.dialQueueOf(t)
}
