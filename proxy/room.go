package proxy

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/web"
)

// reservedFiles is how many descriptors are kept for everything but sessions: the
// listeners, the admin side, the runtime, clients that are refused, lookups, and the
// second descriptor of a connection that changes hands.
const reservedFiles = 256

// Descriptors counts the file descriptors that a process may have.
type Descriptors struct {
	Limit    int64 // all of them
	Reserved int64 // those that are not for clients
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
	return Descriptors{
		Limit:    int64(min(files.Cur, 1<<40)),
		Reserved: reservedFiles + epoll.Files*int64(loops),
	}
}

// Clients returns how many clients d allows at once. A client takes two descriptors.
func (d Descriptors) Clients() int64 { return max(1, (d.Limit-d.Reserved)/2) }

// LimitFor returns the Limit that so many clients at once need.
func (d Descriptors) LimitFor(clients int64) int64 { return d.Reserved + 2*clients }

// roomForPages returns how many of room clients may be with the server of pages: half, or
// what the limit on sessions leaves if that is more. So sessions always find room,
// however long pages take.
func roomForPages(room, sessions int64) int64 {
	return max(1, room/2, room-sessions)
}

// setRoom sets how many clients there may be at once, and the limits that follow from it.
func (s *Server) setRoom(room int64) {
	s.room, s.limit = room, room
	if s.cfg.MaxSessions > 0 {
		s.limit = min(s.limit, int64(s.cfg.MaxSessions))
	}
	s.pageRoom = roomForPages(s.room, s.limit)
	s.cfg.Metrics.SetSessionsLimit(int(s.limit))
}

// countEntry counts a client that was accepted, and reports whether it is over the limit.
func (s *Server) countEntry() (full bool) {
	s.live.Add(1)
	s.kept.Add(1)
	return s.exceeds(0)
}

// full reports whether the descriptors allow no further client.
func (s *Server) full() bool { return s.live.Load() >= s.room }

// overfull reports whether there are more clients than the descriptors allow.
func (s *Server) overfull() bool { return s.live.Load() > s.room }

// exceeds reports whether there are more than some clients over the limit. Clients that
// ask for pages take descriptors, but no session.
func (s *Server) exceeds(some int64) bool {
	live := s.live.Load()
	return live > s.room+some || live-s.guests.Load() > s.limit+some
}

// countGuest counts a client that goes to the server of pages. It returns false, and
// counts nothing, if the server of pages is full and none of its connections is idle.
func (s *Server) countGuest() bool {
	if s.guests.Add(1) > s.pageRoom && !s.pages.Yield() {
		s.guests.Add(-1)
		return false
	}
	s.roomMade()
	return true
}

// countReturn counts a client that comes back from the server of pages for a session, and
// reports whether it is over the limit.
func (s *Server) countReturn() (full bool) {
	s.guests.Add(-1)
	return s.exceeds(0)
}

// guestGone counts a client whose page connection has ended.
func (s *Server) guestGone(g *web.Guest) {
	s.guests.Add(-1)
	s.left(g.From.Addr(), seatOf(g))
}

// refusedAtOnce bounds how many clients over the limit are being refused at one time.
const refusedAtOnce = 64

// crowded reports whether one more client would take descriptors that are reserved.
func (s *Server) crowded() bool { return s.exceeds(refusedAtOnce - 1) }

// left counts a client that has gone, after all its descriptors are closed. Every client
// that place has counted comes once to left, or to unkept and gone.
func (s *Server) left(from netip.Addr, seat peraddress.Seat) {
	s.unkept()
	s.gone(from, seat)
}

// unkept counts a client that no drain waits for any more.
func (s *Server) unkept() {
	if s.kept.Add(-1) == 0 {
		s.tellEmpty()
	}
}

// gone counts a client as left does. No drain waits for the client.
func (s *Server) gone(from netip.Addr, seat peraddress.Seat) {
	s.perAddress.Leave(from, seat)
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
