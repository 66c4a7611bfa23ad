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
