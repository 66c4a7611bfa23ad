package proxy

import (
	"context"
	"net/netip"
	"sync/atomic"
)

// What the tests of the proxy from outside need of its inside.

const DialsAtOnce = dialsAtOnce

// FindBy sets the function that looks the upstream's name up.
func (c *Config) FindBy(find func(context.Context, string) ([]netip.Addr, error)) { c.find = find }

// LeaveNoPlace makes all wait that want to dial.
func (s *Server) LeaveNoPlace() { s.onEveryLoop(func(l *loop) { l.queueOfOne().places = 0 }) }

// PlacesToDial is how many may begin to dial now.
func (s *Server) PlacesToDial() int {
	var places atomic.Int64
	s.onEveryLoop(func(l *loop) { places.Add(int64(l.queueOfOne().places)) })
	return int(places.Load())
}

// AllowClients makes the descriptors allow n clients. The Server must not run yet.
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
