package proxy

import (
	"errors"
	"net/netip"

	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/web"
)

// A connection holds a seat of its client's address from accept to close, whatever it is:
// silent so far, a handshake, a session, a refusal or a page. The seat moves with the
// connection; rise or Server.left gives it back. A trusted proxy speaks for many clients,
// so its connections have no seat until it has named a client.

var errAddressFull = errors.New("the client's address is at its limit of connections, and at the limit of refusals under way")

// enterAtDoor returns the seat of a client that has just connected.
func (s *Server) enterAtDoor(from netip.Addr) peraddress.Seat {
	if s.trust.Peer(from) {
		return peraddress.Uncounted
	}
	return s.enter(from)
}

// enter counts a connection for the address from and returns its seat.
func (s *Server) enter(from netip.Addr) peraddress.Seat {
	seat := s.perAddress.Enter(from)
	if seat == peraddress.Refused || seat == peraddress.TurnedAway {
		return s.takeFromPage(from, seat)
	}
	return seat
}

// takeFromPage closes an idle page connection of the same address, if there is one, and
// returns its seat for a client over the limit. A browser keeps several page connections
// open for a while, and they must not cost it a session. Without an idle one it returns
// seat.
func (s *Server) takeFromPage(from netip.Addr, seat peraddress.Seat) peraddress.Seat {
	if !s.pages.YieldOf(peraddress.Account(from)) {
		return seat
	}
	s.perAddress.Leave(from, seat)
	return peraddress.Admitted
}

// sit takes a seat for a client that a PROXY protocol header has named. If that client is
// a trusted proxy too, the seat waits until a forwarding field names another.
func (l *loop) sit(s *session) {
	if s.seat == peraddress.Uncounted && !s.opening.anonymous {
		s.seat = l.server.enterAtDoor(s.addr)
	}
}

// seated reports whether the client is within its address's limit. A client that was over
// the limit when it connected may be within it now.
func (l *loop) seated(s *session) bool {
	if s.seat == peraddress.Refused {
		s.seat = l.server.perAddress.Promote(s.addr)
	}
	if s.seat == peraddress.Refused {
		s.seat = l.server.takeFromPage(s.addr, s.seat)
	}
	return s.seat == peraddress.Uncounted || s.seat == peraddress.Admitted
}

// accountOf returns the address that a client's connection counts for among the pages, or
// the zero Addr if it counts for none.
func accountOf(s *session) netip.Addr {
	if s.seat != peraddress.Admitted {
		return netip.Addr{}
	}
	return peraddress.Account(s.addr)
}

// seatOf is the reverse of accountOf.
func seatOf(g *web.Guest) peraddress.Seat {
	if g.Account.IsValid() {
		return peraddress.Admitted
	}
	return peraddress.Uncounted
}

// rise gives back the seat of a client whose connection is closed. The session may go on
// until the upstream has ended its side too.
func (l *loop) rise(s *session) {
	l.server.perAddress.Leave(s.addr, s.seat)
	s.seat = peraddress.Uncounted
}

// notBelieved records that a peer which is not trusted says for whom it asks. If the peer is
// a proxy, all its clients have its address: they share one limit, and hash:ip sends all of
// them to the same upstream. The log says so once, because any client may claim such a thing.
func (s *Server) notBelieved(peer netip.Addr) {
	what := ""
	switch {
	case s.cfg.MaxSessionsPerIP > 0:
		what = "HOLDFAST_MAX_SESSIONS_PER_IP counts"
	case s.cfg.Balance.By == HashIP && s.pool.Several():
		what = "HOLDFAST_BALANCE=hash:ip takes"
	}
	if what != "" && peer.IsValid() && !s.unbelieved.Load() && s.unbelieved.CompareAndSwap(false, true) {
		s.cfg.Log.Warn("X-Forwarded-For came from an address that is not trusted: "+what+
			" all clients behind that address for one; if it is a proxy of yours, add it to HOLDFAST_TRUSTED_PROXIES",
			"address", peer.String())
	}
}
