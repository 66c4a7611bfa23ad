package proxy

import (
	"errors"
	"net/netip"

	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/web"
)

// Whoever holds one of the client's descriptors holds a seat of the client's
// address, from accept to close: a connection that says nothing yet, a
// handshake, a session, a refusal, a page. The seat goes with the connection, and
// rise or Server.left gives it back. A trusted proxy speaks for many, so its
// connections have no seat until it has said for whom.

var errAddressFull = errors.New("the client's address has as many connections as it may have, and as many more are being refused")

// enterAtDoor gives a client that has connected its seat.
func (s *Server) enterAtDoor(from netip.Addr) peraddress.Seat {
	if s.trust.Peer(from) {
		return peraddress.Uncounted
	}
	return s.enter(from)
}

// enter gives a client its seat.
func (s *Server) enter(from netip.Addr) peraddress.Seat {
	seat := s.perAddress.Enter(from)
	if seat == peraddress.Refused || seat == peraddress.TurnedAway {
		return s.takeFromPage(from, seat)
	}
	return seat
}

// takeFromPage gives a client that is beyond the limit the seat of a page connection
// of the same address that waits for its next request, if there is one: a
// browser keeps several for a while, and they must not cost it a session.
func (s *Server) takeFromPage(from netip.Addr, seat peraddress.Seat) peraddress.Seat {
	if !s.pages.YieldOf(peraddress.Account(from)) {
		return seat
	}
	s.perAddress.Leave(from, seat)
	return peraddress.Admitted
}

// sit gives a client its seat whom a PROXY protocol header has named. If that is
// a trusted proxy again, a forwarding field may tell more.
func (l *loop) sit(s *session) {
	if s.seat == peraddress.Uncounted && !s.opening.nobody {
		s.seat = l.server.enterAtDoor(s.addr)
	}
}

// seated reports whether a client may have what it asks for. One that was beyond the
// limit when it came may be within it by now.
func (l *loop) seated(s *session) bool {
	if s.seat == peraddress.Refused {
		s.seat = l.server.perAddress.Promote(s.addr)
	}
	if s.seat == peraddress.Refused {
		s.seat = l.server.takeFromPage(s.addr, s.seat)
	}
	return s.seat == peraddress.Uncounted || s.seat == peraddress.Admitted
}

// accountOf is whom a client's connection counts for once it is among the pages.
func accountOf(s *session) netip.Addr {
	if s.seat != peraddress.Admitted {
		return netip.Addr{}
	}
	return peraddress.Account(s.addr)
}

// seatOf is accountOf's reverse.
func seatOf(g *web.Guest) peraddress.Seat {
	if g.Account.IsValid() {
		return peraddress.Admitted
	}
	return peraddress.Uncounted
}

// rise gives the seat back of a client whose connection is closed. Its session may
// go on for a while, until the upstream has ended its side too.
func (l *loop) rise(s *session) {
	l.server.perAddress.Leave(s.addr, s.seat)
	s.seat = peraddress.Uncounted
}
