package proxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/secure"
	"holdfast/proxy/internal/socket"
	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

// What a simulation invents, and the words it needs for that.
type (
	Kernel    = kernel
	Transport = transport
	Secured   = secured
	Scratch   = secure.Scratch

	Token    = epoll.Token
	Ready    = epoll.Ready
	Event    = epoll.Event
	Endpoint = socket.Endpoint
	ACKs     = socket.ACKs

	Guest  = web.Guest
	Guests = guests
)

// Conditions of a descriptor: EPOLLIN, EPOLLOUT, EPOLLRDHUP, and EPOLLERR or EPOLLHUP.
const (
	Readable  = epoll.In
	Writable  = epoll.Out
	PeerEnded = epoll.Ended
	Broken    = epoll.Broken
)

// ErrAgain says that a descriptor is not ready.
var ErrAgain = errAgain

// A Hermetic is a server without a thread of its own: its caller turns the loops, over
// kernels, a clock and a source of randomness that the caller has invented. The code
// is the one that runs in production.
type Hermetic struct {
	server  *Server
	tickets map[*pageTicket]bool // of LineUp, until they are given back
	fallen  []fallen             // targets that have gone down, until Audit has looked at their queues

	tells func(loop int, open []string) // HermeticWorld.Tells
	told  heartbeat.Time                // by when the sessions are told their end; Never: they are not
	over  bool                          // what was left at the end of the drain is cut
}

// A HermeticWorld is what surrounds a Hermetic.
type HermeticWorld struct {
	Now     func() heartbeat.Time
	Beside  func(job func()) // is given each job that may block
	Random  io.Reader        // must never fail
	Kernels []Kernel         // one for each loop; the first accepts
	Listen  int              // the descriptor that clients connect to
	Close   func()           // closes that
	Clients int64            // how many there may be at once, beside those in the lobby
	Lobby   int64            // how many there may be in that
	Places  int              // in each loop's queue for a TLS handshake, and in those for dials
	// Pages is given the clients that ask for pages, and Attach takes back the connection
	// of one that then asks for a session.
	Pages  Guests
	Attach func(net.Conn) (Transport, error)
	// Find looks up the addresses of an upstream's host.
	Find func(ctx context.Context, host string) ([]netip.Addr, error)
	// Choice returns random numbers for the choice of upstreams.
	Choice func() uint64
	// Probe makes the check of an upstream, and After is given the jobs that come later,
	// such as checks. Without Probe no upstream is checked.
	Probe func(Endpoint) error
	After func(d time.Duration, job func())
	// Tells is called when a loop has given the sessions that are open in it the times at
	// which a drain ends them. open are their paths.
	Tells func(loop int, open []string)
}

// NewHermetic makes a server that accepts from its first turn on.
func NewHermetic(cfg Config, w HermeticWorld) (*Hermetic, error) {
	cfg.Loops = len(w.Kernels)
	cfg.find = w.Find
	if w.After == nil {
		w.After = func(time.Duration, func()) {}
	}
	s, err := newServer(cfg, world{
		clock:  clock{now: w.Now},
		beside: w.Beside,
		after:  w.After,
		attach: w.Attach,
		random: w.Choice,
		probe:  func(t *backend.Target) error { return w.Probe(t.Endpoint()) },
	})
	if err != nil {
		return nil, err
	}
	s.setRooms(w.Clients, w.Lobby)
	s.pages = w.Pages
	*s.listener = listener{fd: w.Listen, open: true, invented: w.Close}
	for _, k := range w.Kernels {
		l := s.addLoop(k, w.Random)
		l.tlsQueue, l.dialPlaces = newQueue(w.Places, nil), w.Places
	}
	s.loops[0].post(s.loops[0].startAccept)
	h := &Hermetic{server: s, tickets: map[*pageTicket]bool{}, tells: w.Tells, told: heartbeat.Never}
	s.pool.WhenDown(h.targetDown)
	if w.Probe != nil {
		s.pool.Watch()
	}
	return h, nil
}

// Turn lets a loop handle what is ready now and what is due, and reports how many events
// that were.
func (h *Hermetic) Turn(loop int) (events int) {
	l := h.server.loops[loop]
	l.poll()
	events = len(l.ready)
	l.turn(l.now, l.ready)
	return events
}

// Broken is why a loop cannot go on after a panic, and nil if it can.
func (h *Hermetic) Broken(loop int) error { return h.server.loops[loop].faults.broken }

// Next is when a loop's next timer is due, heartbeat.Never if there is none.
func (h *Hermetic) Next(loop int) heartbeat.Time { return h.server.loops[loop].wheel.Next() }

// Called reports whether a loop has been given a job that it has not done yet.
func (h *Hermetic) Called(loop int) bool {
	b := &h.server.loops[loop].inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.jobs) > 0
}

// Drain begins a drain as Server.Drain does.
func (h *Hermetic) Drain(how Stop) { h.server.beginDrain(how) }

// Shutdown begins a drain as Server.Shutdown does, or goes on from the one under way.
func (h *Hermetic) Shutdown(how Stop) {
	h.server.stop()
	if !h.server.beginDrain(how) {
		h.server.hurry(how)
	}
	if h.Refuses() {
		h.onEveryLoop((*loop).shutDoor)
	}
}

// Hurry cuts all that a drain has left, as Server.Shutdown does when its context is done.
func (h *Hermetic) Hurry() { h.server.hurry(Stop{}) }

// StepDrain does what is due of a drain, as Server.runDrain does, and returns when it is to
// be called again, at the latest. Each loop does its part in its next turn.
func (h *Hermetic) StepDrain() (next heartbeat.Time) {
	s := h.server
	due, _ := s.drainDue()
	switch {
	case h.over || !s.Draining():
		return heartbeat.Never
	case s.clock.now() < due.refuse:
		return due.refuse
	}
	tell, told := s.telling(h.told)
	if h.told = told; tell != nil {
		h.onEveryLoop(func(l *loop) { tell(l); h.tellsOf(l) })
	}
	if s.kept.Load() > 0 && s.clock.now() < due.cut {
		return due.cut
	}
	h.over = true
	s.relays.cut()
	h.onEveryLoop(func(l *loop) { l.cutAll() })
	return heartbeat.Never
}

// onEveryLoop makes each loop do a job in its next turn.
func (h *Hermetic) onEveryLoop(job func(*loop)) {
	for _, l := range h.server.loops {
		l.post(func() { job(l) })
	}
}

// tellsOf calls tells for a loop.
func (h *Hermetic) tellsOf(of *loop) {
	var open []string
	of.table.all(func(s *session) {
		if s.opening == nil {
			open = append(open, s.path)
		}
	})
	if h.tells != nil {
		h.tells(slices.Index(h.server.loops, of), open)
	}
}

// Refuses reports whether the loops refuse clients, or do so from their next turns on.
func (h *Hermetic) Refuses() bool { return h.told != heartbeat.Never }

// Drained reports whether a drain has come to its end.
func (h *Hermetic) Drained() bool { return h.over }

// Draining reports whether a loop has begun to drain.
func (h *Hermetic) Draining(loop int) bool { return h.server.loops[loop].draining }

// CutAll makes a loop end, in its next turn, all that it holds.
func (h *Hermetic) CutAll(loop int) {
	l := h.server.loops[loop]
	l.post(func() { l.cutAll() })
}

// SessionList lists the open sessions of all loops. No loop may have its turn meanwhile.
func (h *Hermetic) SessionList(q SessionQuery) SessionList {
	found := newListing(q)
	for _, l := range h.server.loops {
		l.list(l.table.slots, found)
	}
	return found.result()
}

// CloseSession makes the loop that has a session end it in its next turn, as an operator
// asks. closed is called then, with the session as it was before.
func (h *Hermetic) CloseSession(id uint64, closed func(was SessionStatus)) {
	for _, l := range h.server.loops {
		l.post(func() {
			if was, found := l.closeListed(l.table.slots, id); found {
				closed(was)
			}
		})
	}
}

// Rejoin takes a guest back that has asked for a session, and Gone counts one whose
// connection is closed.
func (h *Hermetic) Rejoin(g *Guest, head []byte) { h.server.rejoin(g, head) }
func (h *Hermetic) Gone(g *Guest)                { h.server.guestGone(g) }

// LineUp lets a guest wait in a loop's queue for a place to dial a target. come is called
// when it has one. leave gives the place back, or ends the wait for it. LineUp returns nil
// if there is no target.
func (h *Hermetic) LineUp(loop int, come func()) (leave func()) {
	route := h.server.pool.Route(&upgrade.Request{}, netip.Addr{})
	if route.Next(h.server.clock.now()) != backend.Try {
		return nil
	}
	to := route.To
	to.Leave()
	l, t := h.server.loops[loop], &pageTicket{route: &route, come: come, away: come}
	h.tickets[t] = true
	l.post(func() { l.lineUp(t, to) })
	return func() { l.post(func() { l.leaveQueue(t); delete(h.tickets, t) }) }
}

// DrainTargets takes targets out of use and ends their sessions within spread, and returns
// how many targets: see Server.DrainTargets. The loops begin with that in their next turns.
func (h *Hermetic) DrainTargets(name, address string, spread time.Duration) (targets int) {
	all := h.server.pool.SetDrained(name, address, true)
	for _, l := range h.server.loops {
		l.post(func() { l.endWithin(spread, goesTo(all)) })
	}
	return len(all)
}

// ResumeTargets brings targets back into use: see Server.ResumeTargets.
func (h *Hermetic) ResumeTargets(name, address string) {
	all := h.server.pool.SetDrained(name, address, false)
	for _, l := range h.server.loops {
		l.post(func() { l.keep(goesTo(all)) })
	}
}

// Targets returns the status of every target.
func (h *Hermetic) Targets() []TargetStatus { return h.server.Targets() }

// Loads returns how many handshakes and sessions each target counts, by its address.
func (h *Hermetic) Loads() map[string]int {
	all := map[string]int{}
	for _, t := range h.server.pool.Targets() {
		all[t.Address] += t.Load
	}
	return all
}

// Serves returns the path that the client of a loop's present work has asked for, or "" if
// the loop works for no client.
func (h *Hermetic) Serves(loop int) string {
	if f := &h.server.loops[loop].faults; f.duty == sessionDuty {
		return f.session.path
	}
	return ""
}

// CutBeside ends the relays, as a stop does when the time for it is over.
func (h *Hermetic) CutBeside() { h.server.relays.cut() }

// Close ends what the server does beside its loops.
func (h *Hermetic) Close() { h.server.end() }

// Clients is how many clients are counted, and Kept for how many of them a drain waits.
func (h *Hermetic) Clients() int { return h.server.Clients() }
func (h *Hermetic) Kept() int    { return int(h.server.kept.Load()) }

// Permits is how many permits are taken.
func (h *Hermetic) Permits() int { return int(h.server.permits.taken.Load()) }

// Held is how many handshakes and sessions the loops hold.
func (h *Hermetic) Held() (n int) {
	for _, l := range h.server.loops {
		n += l.table.live
	}
	return n
}

// Seats is how many addresses have a connection that counts for them.
func (h *Hermetic) Seats() int { return h.server.perAddress.Len() }
