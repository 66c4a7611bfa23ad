package proxy

import "net/netip"

// What the tests of the proxy from outside need of its inside.

const DialsAtOnce = dialsAtOnce

// ResolveTo has the upstream's name stand for these addresses.
func (s *Server) ResolveTo(addrs ...netip.AddrPort) {
	s.origin.mu.Lock()
	defer s.origin.mu.Unlock()
	s.origin.addrs = nil
	for _, addr := range addrs {
		s.origin.addrs = append(s.origin.addrs, endpoint{addr: addr})
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
