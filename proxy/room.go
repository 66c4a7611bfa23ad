package proxy

import (
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/web"
)

// The server counts its clients in three rooms. The descriptors say how many clients may be
// inside. A handshake or a session of those holds a permit, and the limit on sessions says
// how many permits there are. The lobby is for clients that are being refused. It takes
// from the reserved descriptors, so a refused client keeps nobody out.

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

// A standing says what a client has of the rooms. It goes with the client's connection:
// Server.left gives back what is left of it.
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

// Descriptors counts the file descriptors that a process may have.
type Descriptors struct {
	Limit int64 // all of them
	Loops int64 // of the server
}

// OwnDescriptors returns the descriptors of this process, for a server with so many event
// loops; 0 means one loop for each usable core.
func OwnDescriptors(loops int) Descriptors {
	if loops == 0 {
		loops = epoll.Processors
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		panic(os.NewSyscallError("getrlimit", err)) // the arguments are ours
	}
	return Descriptors{Limit: int64(min(files.Cur, 1<<40)), Loops: int64(loops)}
}

// Descriptors are reserved for everything but the loops and the clients inside: a quarter
// of all, within these bounds.
const (
	leastReserved = 20
	mostReserved  = 256
)

// ownFiles is how many of the reserved descriptors are for neither the lobby nor the
// connections of the admin listener. The process keeps nine: three standard streams, two
// listeners, two of the runtime's poller, and two by which the runtime learns the CPU limit.
// Seven more come and go: two of a lookup, and one each of a check, of a file that is read,
// of a connection that changes hands, of a client that is closed at once, and of an admin
// connection that is to replace another.
const ownFiles = 16

// Reserved returns how many descriptors are not for clients inside.
func (d Descriptors) Reserved() int64 {
	return min(max(d.Limit/4, leastReserved), mostReserved) + d.ofLoops()
}

func (d Descriptors) ofLoops() int64 { return epoll.Files * d.Loops }

// Clients returns how many clients d allows at once. A client takes two descriptors.
func (d Descriptors) Clients() int64 { return max(1, (d.Limit-d.Reserved())/2) }

// LimitFor returns the least Limit that allows so many clients at once.
func (d Descriptors) LimitFor(clients int64) int64 {
	used := 2*clients + d.ofLoops()
	quarter := 4*(used-1)/3 + 1 - used // of the least limit of which the rest is enough
	return used + min(max(quarter, leastReserved), mostReserved)
}

// mostRefused bounds how many clients there may be in the lobby.
const mostRefused = 64

// Refused returns how many of the reserved descriptors are for clients in the lobby. Each
// of them has one.
func (d Descriptors) Refused() int64 {
	return min((d.Reserved()-d.ofLoops()-ownFiles)/2, mostRefused)
}

// Admin returns how many of the reserved descriptors are for connections to the admin
// listener.
func (d Descriptors) Admin() int64 { return (d.Reserved() - d.ofLoops()) / 8 }

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
// that letIn has counted comes to it once.
func (s *Server) left(from netip.Addr, seat peraddress.Seat, has standing) {
	s.perAddress.Leave(from, seat)
	s.leave(has)
	s.leaves.Add(1)
	if s.live.Add(-1) == 0 && s.draining.Load() {
		select {
		case s.emptied <- struct{}{}:
		default:
		}
	}
	s.roomMade()
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
