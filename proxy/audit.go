package proxy

import (
	"errors"
	"fmt"
	"slices"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
)

// Audit looks at all that the loops hold between two turns. A loop does the same after a
// panic, see examine. Audit tells seen the step of
// each handshake, and the states of each leg and of each session's end, as indexes of
// States, and returns how many descriptors they have. The error says what must never be:
// something that waits without a deadline, a deadline without a timer, a count that does
// not add up.
func (h *Hermetic) Audit(seen func(state int)) (descriptors int, err error) {
	var errs []error
	var all holding
	for i, l := range h.server.loops {
		held, err := l.auditAll(seen)
		descriptors += held.descriptors
		all.addStandings(&held)
		if err != nil {
			errs = append(errs, fmt.Errorf("loop %d: %w", i, err))
		}
		lent := map[*queue]int{}
		for t := range h.tickets {
			lent[t.at]++
		}
		for at := range l.queues() {
			if lent[at] != at.lent {
				errs = append(errs, fmt.Errorf("loop %d: %d places are lent to pages, and pages have %d", i, at.lent, lent[at]))
			}
		}
	}
	if err := h.server.auditKept(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, h.auditTargets(), h.auditQueues(), all.checkRooms(h.server))
	return descriptors, errors.Join(errs...)
}

// auditKept checks that a drain waits for every client but the late ones.
func (s *Server) auditKept() error {
	late := int64(0)
	for _, l := range s.loops {
		l.table.all(func(each *session) {
			if each.isLate() {
				late++
			}
		})
	}
	if live, kept := s.live.Load(), s.kept.Load(); kept != live-late {
		return fmt.Errorf("a drain waits for %d of %d clients, and %d of them are late", kept, live, late)
	}
	return nil
}

// auditTargets checks that the targets count what the loops hold.
func (h *Hermetic) auditTargets() error {
	load, sessions := 0, 0
	for _, l := range h.server.loops {
		l.table.all(func(s *session) {
			switch {
			case s.opening == nil:
				sessions++
				load++
			case s.opening.counted:
				load++
			}
		})
	}
	if counted, open := h.server.pool.Load(); counted != load || open != sessions {
		return fmt.Errorf("the targets count %d handshakes and sessions, and %d sessions; there are %d and %d", counted, open, load, sessions)
	}
	return nil
}

// A fallen is a target that has gone down, and the targets that were up then.
type fallen struct {
	target *backend.Target
	others []*backend.Target
}

// targetDown notes a target that goes down.
func (h *Hermetic) targetDown(t *backend.Target) {
	h.fallen = append(h.fallen, fallen{t, h.server.pool.Working()})
	h.server.callAway(t)
}

// auditQueues checks that nobody waits for a target that has gone down while another one is
// up. It looks when the loops have done their jobs, since they are told by a job.
func (h *Hermetic) auditQueues() error {
	if len(h.fallen) == 0 {
		return nil
	}
	for i := range h.server.loops {
		if h.Called(i) {
			return nil
		}
	}
	down := h.fallen
	h.fallen = nil
	for _, f := range down {
		if slices.ContainsFunc(h.server.pool.Working(), func(up *backend.Target) bool { return !slices.Contains(f.others, up) }) {
			continue // it came up afterwards, and calls nobody
		}
		for i, l := range h.server.loops {
			if l.keepsFrom(f.target) {
				return fmt.Errorf("loop %d: a handshake waits for %v, which is down, and another one is up", i, f.target)
			}
		}
	}
	return nil
}

// keepsFrom reports whether a handshake waits for a target that is down although it could
// go to another one.
func (l *loop) keepsFrom(t *backend.Target) bool {
	at := l.dialQueues[t]
	return at != nil && slices.ContainsFunc(at.waiting, func(w waiter) bool {
		handshake, is := w.(ticket)
		return is && w.waits(l) && handshake.s.opening.route.To == t && handshake.s.opening.route.Better(l.now)
	})
}

// auditAll is Audit for one loop. seen may be nil.
func (l *loop) auditAll(seen func(state int)) (held holding, err error) {
	var errs []error
	l.table.all(func(s *session) {
		if seen != nil {
			s.tell(seen)
		}
		held.add(l, s)
		if err := l.audit(s); err != nil {
			errs = append(errs, fmt.Errorf("session %d: %w", s.id, err))
		}
	})
	if l.listener != nil && l.listener.paused.Load() {
		held.timers++
	}
	return held, errors.Join(append(errs, held.check(l))...)
}

// A holding is what the sessions of a loop hold together.
type holding struct {
	metrics.Balance // what the loop's counts must say
	sessions        int
	timers          int
	descriptors     int
	places          map[*queue]int     // those that handshakes have
	standings       [permitted + 1]int // how many clients of each standing
}

func (h *holding) add(l *loop, s *session) {
	h.sessions++
	h.standings[s.standing()]++
	if s.timer != heartbeat.Never {
		h.timers++
	}
	for _, side := range sides {
		g := &s.legs[side]
		if g.io != nil {
			h.descriptors++
		}
		if g.paused {
			h.Paused[side]++
		}
		if g.tail != nil {
			h.Buffered[side] += int64(len(g.tail.bytes()))
		}
	}
	o := s.opening
	if o == nil {
		h.Open++
		return
	}
	if o.away != nil {
		h.descriptors++
	}
	if o.place != nil {
		if h.places == nil {
			h.places = map[*queue]int{}
		}
		h.places[o.place]++
	}
}

// check holds the loop's own counts against what its sessions hold.
func (h *holding) check(l *loop) error {
	switch counted := l.metrics.Balance(); {
	case counted != h.Balance:
		return fmt.Errorf("the metrics say %+v, and it is %+v", counted, h.Balance)
	case int(l.sessions.Load()) < h.sessions || l.table.live != h.sessions:
		return fmt.Errorf("%d sessions are counted and %d in the table, and there are %d", l.sessions.Load(), l.table.live, h.sessions)
	case l.wheel.Len() != h.timers:
		return fmt.Errorf("%d timers are armed, and %d are known", l.wheel.Len(), h.timers)
	}
	for at := range l.queues() {
		if taken := h.places[at]; at.places+at.lent+taken != at.size {
			return fmt.Errorf("%d places of a queue are free, %d lent to pages and %d taken, and there are %d", at.places, at.lent, taken, at.size)
		}
	}
	return h.checkPermits(l.server)
}

// checkPermits holds the server's permits against those that a loop knows of. The other
// loops and the relays have the rest.
func (h *holding) checkPermits(s *Server) error {
	if known, taken := int64(h.standings[permitted]), s.permits.taken.Load(); known > taken {
		return fmt.Errorf("%d permits are taken, and the loop has %d", taken, known)
	}
	return nil
}

// addStandings adds what the sessions of a loop have to what those of other loops have.
func (h *holding) addStandings(of *holding) {
	h.sessions += of.sessions
	for i, n := range of.standings {
		h.standings[i] += n
	}
}

// checkRooms holds the server's rooms against what all of its loops hold together, while
// no loop turns. A client that is neither with a loop nor with the server of pages is with
// a relay, or on the way to a loop.
func (h *holding) checkRooms(s *Server) error {
	live, in, out := s.live.Load(), s.inside.taken.Load(), s.lobby.taken.Load()
	permits := s.permits.taken.Load()
	elsewhere := live - int64(h.sessions) - s.guests.Load()
	extra := func(taken int64, has standing) bool {
		more := taken - int64(h.standings[has])
		return more < 0 || more > elsewhere
	}
	switch {
	case in+out != live:
		return fmt.Errorf("%d clients are counted inside and %d in the lobby, and there are %d", in, out, live)
	case in > s.inside.size || out > s.lobby.size || permits > s.permits.size:
		return fmt.Errorf("the limits are %d inside, %d in the lobby and %d permits, and %d, %d and %d are taken",
			s.inside.size, s.lobby.size, s.permits.size, in, out, permits)
	case extra(permits, permitted):
		return fmt.Errorf("%d permits are taken, the loops have %d, and %d clients are elsewhere", permits, h.standings[permitted], elsewhere)
	case extra(out, inLobby):
		return fmt.Errorf("%d places in the lobby are taken, the loops have %d, and %d clients are elsewhere", out, h.standings[inLobby], elsewhere)
	}
	return nil
}

func (s *session) tell(seen func(state int)) {
	if s.opening != nil {
		seen(int(s.opening.state))
		return
	}
	seen(len(steps) + int(s.cause.kind))
	for _, side := range sides {
		g, first := &s.legs[side], len(steps)+len(endNames)+int(side)*legStates
		seen(first + int(g.in))
		seen(first + len(inNames) + int(g.out))
		for i, is := range []bool{g.paused, g.tail != nil, g.pending != nil} {
			if is {
				seen(first + len(inNames) + len(outNames) + i)
			}
		}
	}
}

// The names of what Audit tells, in the order of its indexes.
var (
	endNames  = []string{"live", "closing", "closed", "dropped"}
	inNames   = []string{"open", "discard", "ended"}
	outNames  = []string{"open", "held", "ending", "closing", "closed", "resting", "broken"}
	heldNames = []string{"paused", "tail", "pending"}
	legStates = len(inNames) + len(outNames) + len(heldNames)
)

// States are the names of all that Audit can tell.
func States() (all []string) {
	for state := range len(steps) {
		all = append(all, fmt.Sprintf("step %d", state))
	}
	for _, name := range endNames {
		all = append(all, "session "+name)
	}
	for _, side := range sides {
		for _, name := range inNames {
			all = append(all, side.String()+" in "+name)
		}
		for _, name := range outNames {
			all = append(all, side.String()+" out "+name)
		}
		for _, name := range heldNames {
			all = append(all, side.String()+" "+name)
		}
	}
	return all
}

// audit checks that a session, or a leg that owes something, has a time at which it is
// over, and a timer for that.
func (l *loop) audit(s *session) error {
	if s.timer == heartbeat.Never && l.due(s) != heartbeat.Never {
		return errors.New("there is a deadline and no timer")
	}
	if s.opening != nil {
		if s.opening.by == heartbeat.Never {
			return fmt.Errorf("the handshake waits for ever at step %d", s.opening.state)
		}
		return l.auditStanding(s)
	}
	if s.cause.kind != live && s.until == heartbeat.Never {
		return fmt.Errorf("the end has no end: %+v", s.cause)
	}
	for _, side := range sides {
		g := &s.legs[side]
		stays := g.io != nil && (g.out == outBroken || s.cause.kind != live && g.out > outHeld)
		if s.cause.kind != live && (g.beat.Wanted() || g.beat.Next() != heartbeat.Never) {
			return fmt.Errorf("the heartbeat of the %v leg goes on after the end has begun", side)
		}
		if a := l.app(s, side); s.cause.kind != live && a != nil && (a.beat.Wanted() || a.beat.Next() != heartbeat.Never || a.answers != nil) {
			return fmt.Errorf("the application's heartbeat on the %v leg goes on after the end has begun", side)
		}
		if g.paused && s.legs[opposite(side)].tail == nil {
			return fmt.Errorf("the %v leg is not read, and nothing is in the way", side)
		}
		if err := l.auditPace(s, side); err != nil {
			return err
		}
		if stays && !g.paused && g.deadline() == heartbeat.Never {
			return fmt.Errorf("the %v leg waits for ever: in %d, out %d, cause %+v", side, g.in, g.out, s.cause)
		}
	}
	return nil
}

// auditPace checks that a slowed leg is one whose bytes are passed on, that it is not read
// meanwhile, and not for long.
func (l *loop) auditPace(s *session, side Side) error {
	p := l.paceOf(s, side)
	switch {
	case p == nil && side == client && l.cfg.ClientPace.limits():
		return errors.New("the client has no pace")
	case p == nil || !p.slowed:
		return nil
	case !s.keepsPace():
		return fmt.Errorf("the %v leg is slowed, and nothing of it is passed on", side)
	case s.legs[side].interest&readInterest != 0:
		return fmt.Errorf("the %v leg is slowed and read", side)
	case s.legs[side].beat.Owes() && s.legs[side].beat.Next() != heartbeat.Never:
		return fmt.Errorf("the %v leg is slowed, and its pong has a deadline", side)
	case p.until.Sub(l.now) > longestSlow:
		return fmt.Errorf("the %v leg is slowed for %v", side, p.until.Sub(l.now))
	}
	return nil
}

// auditStanding checks that a handshake has a permit from when its request is accepted until
// it is refused, and that a refused client is waited for in the lobby.
func (l *loop) auditStanding(s *session) error {
	step, has := s.opening.step(), s.opening.standing
	switch {
	case step.permitted && has != permitted:
		return fmt.Errorf("the handshake has no permit at step %d", s.opening.state)
	case step.over && has != inLobby && !l.draining:
		return errors.New("a refused client is waited for, and is not in the lobby")
	case step.over && has == permitted:
		return errors.New("a refused client has a permit")
	}
	return nil
}
