package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
)

// update follows every step of a session. It sets what the poller and the timer wait for
// to what the session now needs.
func (l *loop) update(s *session) {
	if !l.table.holds(s) {
		return
	}
	if s.opening == nil {
		l.watch(s)
	}
	if !l.table.holds(s) { // the poller failed, and the session has ended
		return
	}
	if due := l.due(s); due < s.timer || due.Sub(s.timer) > earlyEnough {
		s.timer = due
		l.wheel.Set(s.slot, due)
	}
}

// earlyEnough is how long before the next deadline a timer may go off. A timer within it
// is not moved. To move a timer costs less than a wake-up, but it costs something, and
// update would do it at every step.
const earlyEnough = time.Second

// alarm is called by the wheel. A session's timer may go off early, because the session's
// deadline has moved on. Then alarm only sets it again.
func (l *loop) alarm(slot uint32) {
	l.faults.duty = ownDuty
	if slot == listenerSlot {
		l.resumeAccept()
		return
	}
	s := l.table.slots[slot].session
	if s == nil {
		return
	}
	s.timer = heartbeat.Never
	l.serve(s)
	if l.now >= l.due(s) {
		l.expire(s)
	}
	l.update(s)
	l.faults.duty = ownDuty
	l.pollBetweenAlarms()
}

// alarmsInARow is how many timers go off before the loop looks for events again.
const alarmsInARow = 32

// pollBetweenAlarms handles events between timers. Without it many heartbeats that are
// due together would delay the frames of busy sessions. It also reads the first pongs to
// those heartbeats.
func (l *loop) pollBetweenAlarms() {
	if l.alarms++; l.alarms%alarmsInARow != 0 || !l.poll() {
		return
	}
	l.left = l.ready
	l.dispatchAll()
}

// expire handles a session's deadlines that have passed.
func (l *loop) expire(s *session) {
	if !l.endSlow(s) {
		return
	}
	switch {
	case s.opening != nil:
		s.opening.step().late(l, s)
	case s.cause.kind != live:
		l.overdue(s)
	default:
		l.expireLive(s)
	}
}

func (l *loop) expireLive(s *session) {
	for _, side := range sides {
		if !l.judgeLeg(s, side) {
			return
		}
	}
	if side, at := l.stalledAt(s); l.now >= at {
		l.end(s, side, metrics.PingTimeout)
		return
	}
	switch {
	case l.now >= l.idleAt(s):
		l.end(s, proxy, metrics.IdleTimeout)
	case l.now < s.until:
	case s.cause.reason == metrics.Drain:
		l.endDrained(s)
	default:
		l.end(s, proxy, s.cause.reason)
	}
}

// judgeLeg handles the deadlines of one leg of an open session, and reports whether the
// session is still live. Before it gives the leg up, it tries the socket once more, and
// waits until everything that had arrived is read.
func (l *loop) judgeLeg(s *session, side Side) bool {
	g := &s.legs[side]
	a := l.app(s, side)
	late, appLate := g.stuck(l.now) || l.now >= g.by || g.beat.Overdue(l.now), a != nil && a.beat.Overdue(l.now)
	if late || appLate {
		l.retry(s, side)
		if s.cause.kind != live || late && l.measureBacklog(s, side, &g.backlog) || appLate && l.measureBacklog(s, side, &a.backlog) {
			return s.cause.kind == live
		}
	}
	switch {
	case g.out == outBroken && l.now >= g.by && !l.lastWord(s, side):
		l.lost(s, side, errUnread)
	case g.stuck(l.now) && l.judgeTail(g):
		l.end(s, side, metrics.WriteTimeout)
	default:
		l.beat(s, side)
	}
	if s.cause.kind == live {
		l.beatApp(s, side)
	}
	return s.cause.kind == live
}

// beat does what a leg's heartbeat asks for now.
func (l *loop) beat(s *session, side Side) {
	g := &s.legs[side]
	action := g.beat.Advance(l.now, l.grids[side].Horizon(l.now))
	if action == heartbeat.Look {
		action = g.beat.Looked(&l.rules[side], l.now, l.delivery(g, g.mark, l.rules[side].Timeout, l.patienceFor(side)))
	}
	if action == heartbeat.Expired {
		l.end(s, side, metrics.PingTimeout)
		return
	}
	l.flush(s, side) // a ping that is due, or a pong that has waited long enough for the end of a message
}

// patienceFor returns how long a ping may wait while the peer's TCP has no room. If any
// byte counts as a sign of life, that is WRITE_TIMEOUT, as for any full socket.
func (l *loop) patienceFor(side Side) time.Duration {
	if l.rules[side].Liveness == heartbeat.AnyByte {
		return l.patience.write
	}
	return 0
}

// due returns the session's next deadline.
func (l *loop) due(s *session) heartbeat.Time {
	if s.opening != nil {
		return s.opening.by
	}
	at := s.until
	if s.cause.kind == live {
		_, stalled := l.stalledAt(s)
		at = min(at, l.idleAt(s), stalled)
	}
	for _, side := range sides {
		g := &s.legs[side]
		at = min(at, g.deadline())
		if s.cause.kind == live {
			at = min(at, l.nextBeat(g, side), s.pongPresses(side))
		}
		if l.extras != nil {
			at = min(at, l.nextExtra(s, side))
		}
	}
	return at
}

// pongPresses returns when a pong has waited long enough for the end of a message. It is
// heartbeat.Never if no pong could be written then: the end of a frame is awaited, or the
// end of a tail.
func (s *session) pongPresses(side Side) heartbeat.Time {
	g := &s.legs[side]
	if g.out == outOpen && g.hasPong() && g.tail == nil && s.midMessage(side) && !s.midFrame(side) {
		return g.pending.pressAt
	}
	return heartbeat.Never
}

// nextBeat returns when a leg's heartbeat next has something to do.
func (l *loop) nextBeat(g *leg, side Side) heartbeat.Time {
	next := g.beat.Next()
	if g.beat.Waiting() {
		next = l.grids[side].Alarm(next)
	}
	return next
}

// idleAt returns when the session will have carried no data for IdleTimeout.
func (l *loop) idleAt(s *session) heartbeat.Time {
	if l.cfg.IdleTimeout == 0 {
		return heartbeat.Never
	}
	return s.lastData.Add(l.cfg.IdleTimeout)
}

// stalledAt returns the deadline of a session that is inside a frame in both directions,
// and the side at fault then. No peer can be pinged inside a frame. So when a ping is
// due, data must move within the ping's timeout instead. at is heartbeat.Never if no such
// deadline runs.
func (l *loop) stalledAt(s *session) (side Side, at heartbeat.Time) {
	if !s.midFrame(client) || !s.midFrame(upstream) || s.legs[client].paused || s.legs[upstream].paused || l.slowed(s, client) {
		return client, heartbeat.Never
	}
	at = heartbeat.Never
	for _, each := range sides {
		r, g := &l.rules[each], &s.legs[each]
		if !g.beat.Wanted() || !r.HasDeadline(l.answersPings(s, each)) {
			continue
		}
		if by := max(g.beat.Due(), s.lastData, s.legs[client].moved, s.legs[upstream].moved).Add(r.Timeout); by < at {
			side, at = each, by
		}
	}
	return side, at
}
