package proxy

import (
	"context"
	"net/netip"
	"sync/atomic"

	"holdfast/proxy/internal/socket"
)

// What the tests of the proxy from outside need of its inside.

const DialsAtOnce = dialsAtOnce

// FindBy has the upstream's name looked up by a function.
func (s *Server) FindBy(find func(context.Context, string) ([]netip.Addr, error)) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	s.backend.find = find
}

// AwaitedLookups is how many wait for the lookup under way.
func (s *Server) AwaitedLookups() int {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if s.backend.waiting == nil {
		return 0
	}
	return s.backend.waiting.Len()
}

// LeaveNoPlace has everybody wait who wants to dial.
func (s *Server) LeaveNoPlace() { s.onEveryLoop(func(l *loop) { l.dialQueue.places = 0 }) }

// PlacesToDial is how many may begin to dial now.
func (s *Server) PlacesToDial() int {
	var places atomic.Int64
	s.onEveryLoop(func(l *loop) { places.Add(int64(l.dialQueue.places)) })
	return int(places.Load())
}

// ResolveTo has the upstream's name stand for these addresses.
func (s *Server) ResolveTo(addrs ...netip.AddrPort) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	s.backend.addrs = nil
	for _, addr := range addrs {
		s.backend.addrs = append(s.backend.addrs, socket.Endpoint{AddrPort: addr})
	}
}

// AllowClients has the descriptors allow n clients. The Server must not run yet.
func (s *Server) AllowClients(n int64) {
	s.room = n
	s.limit = min(s.limit, n)
	s.pageRoom = roomForPages(n, s.limit)
}

// Addresses is how many client addresses are counted.
func (s *Server) Addresses() int { return s.perAddress.Len() }

// Pages is how many connections are with the server of pages.
func (s *Server) Pages() int { return int(s.guests.Load()) }

// IdlePages is how many of them wait for their next request.
func (s *Server) IdlePages() int { return s.pages.Idle() }
