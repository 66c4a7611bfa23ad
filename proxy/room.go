package proxy

import (
	"net/netip"
	"sync/atomic"

	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/web"
)

// The server counts its clients in three rooms. The descriptors say how many clients may be
// inside. A handshake or a session of those holds a permit, and the limit on sessions says
// how many permits there are. The lobby is for clients that are being refused: each has a
// reserved descriptor, so it keeps nobody out.

// A capacity counts how many places of a room are taken. Any goroutine may use it.
type capacity struct {
	size  int64 // static
	taken atomic.Int64
}

// take takes a place, or returns false if none is free.
func (c *capacity) take() bool {
	for {
		taken := c.taken.Load()
		if taken >= c.size {
			return false
		}
		if c.taken.CompareAndSwap(taken, taken+1) {
			return true
		}
	}
}

// give gives a place back.
func (c *capacity) give() { c.taken.Add(-1) }

// full reports whether no place is free.
func (c *capacity) full() bool { return c.taken.Load() >= c.size }

// A standing says what a client has of the rooms, and goes with the client's connection.
// Server.left gives back what the client has at the end.
type standing uint8

const (
	inLobby   standing = iota // a place in the lobby; → inside
	inside                    // a place inside, and no permit: the client waits, asks for pages or ends; → permitted, inLobby
	permitted                 // a place inside, and a permit; → inside, inLobby
)

// letIn counts a client that was accepted. It returns false, and counts nothing, if even
// the lobby is full.
func (s *Server) letIn() (has standing, ok bool) {
	switch {
	case s.inside.take():
		has = inside
	case s.lobby.take():
		has = inLobby
	default:
		return has, false
	}
	s.live.Add(1)
	s.kept.Add(1)
	s.permit(&has)
	return has, true
}

// bringIn gives a client a place inside, and reports whether it has one.
func (s *Server) bringIn(has *standing) bool {
	if *has == inLobby && s.inside.take() {
		*has = inside
		s.lobby.give()
		s.roomMade()
	}
	return *has != inLobby
}

// permit gives a client a permit, and reports whether it has one. A client that found none
// when it connected may find one later.
func (s *Server) permit(has *standing) bool {
	if s.bringIn(has) && *has == inside && s.permits.take() {
		*has = permitted
	}
	return *has == permitted
}

// unpermit takes the client's permit back, if it has one.
func (s *Server) unpermit(has *standing) {
	if *has == permitted {
		*has = inside
		s.permits.give()
	}
}

// sendOut takes a refused client's permit back and moves the client to the lobby. It
// returns false if the lobby is full: then nobody waits for the client.
func (s *Server) sendOut(has *standing) bool {
	s.unpermit(has)
	if *has == inside && s.lobby.take() {
		*has = inLobby
		s.inside.give()
		s.roomMade()
	}
	return *has == inLobby
}

// leave gives back all that a client has.
func (s *Server) leave(has standing) {
	s.unpermit(&has)
	if has == inside {
		s.inside.give()
	} else {
		s.lobby.give()
	}
}

// standing returns what the session has of the rooms. An open session has its permit for
// as long as it has a connection to the upstream.
func (s *session) standing() standing {
	switch {
	case s.opening != nil:
		return s.opening.standing
	case s.legs[upstream].io != nil:
		return permitted
	default:
		return inside
	}
}

// roomForPages returns how many of room clients may be with the server of pages: half, or
// what the limit on sessions leaves if that is more. So sessions always find room,
// however long pages take.
func roomForPages(room, sessions int64) int64 {
	return max(1, room/2, room-sessions)
}

// setRooms sets how many clients there may be inside, how many in the lobby, and the limits
// that follow from that. The server must not have clients yet.
func (s *Server) setRooms(clients, refused int64) {
	s.inside.size, s.lobby.size, s.permits.size = clients, refused, clients
	if s.cfg.MaxSessions > 0 {
		s.permits.size = min(clients, int64(s.cfg.MaxSessions))
	}
	s.pageRoom = roomForPages(clients, s.permits.size)
	s.cfg.Metrics.SetSessionsLimit(int(s.permits.size))
}

// countGuest counts a client that goes to the server of pages. It returns false, and
// counts nothing, if the server of pages is full and none of its connections is idle.
func (s *Server) countGuest() bool {
	if s.guests.Add(1) > s.pageRoom && !s.pages.Yield() {
		s.guests.Add(-1)
		return false
	}
	return true
}

// guestGone counts a client whose page connection has ended.
func (s *Server) guestGone(g *web.Guest) {
	s.guests.Add(-1)
	s.left(g.From.Addr(), seatOf(g), inside)
}

// left counts a client that has gone, after all its descriptors are closed. Every client
// that letIn has counted comes once to left, or to unkept and gone.
func (s *Server) left(from netip.Addr, seat peraddress.Seat, has standing) {
	s.unkept()
	s.gone(from, seat, has)
}

// unkept counts a client that no drain waits for any more.
func (s *Server) unkept() {
	if s.kept.Add(-1) == 0 {
		s.tellEmpty()
	}
}

// gone counts a client as left does. No drain waits for the client.
func (s *Server) gone(from netip.Addr, seat peraddress.Seat, has standing) {
	s.perAddress.Leave(from, seat)
	s.leave(has)
	s.leaves.Add(1)
	if s.live.Add(-1) == 0 {
		s.tellEmpty()
	}
	s.roomMade()
}

// tellEmpty wakes a drain that waits for the last client.
func (s *Server) tellEmpty() {
	if s.draining.Load() {
		select {
		case s.emptied <- struct{}{}:
		default:
		}
	}
}

// roomMade resumes accepting if accepting rests.
func (s *Server) roomMade() {
	if s.listener.paused.Load() {
		accepting := s.loops[0]
		accepting.post(accepting.resumeAccept)
	}
}

// chooseLoop returns the loop with the fewest sessions, and counts a new client there.
func (s *Server) chooseLoop() *loop {
	best := s.loops[0]
	for _, l := range s.loops[1:] {
		if l.sessions.Load() < best.sessions.Load() {
			best = l
		}
	}
	best.sessions.Add(1)
	return best
}
