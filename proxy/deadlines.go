package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
)

// update follows every step of a session: it brings the poller and the timer
// in line with what the session now waits for.
func (l *loop) update(s *session) {
	if !l.table.holds(s) {
		return
	}
	if s.opening == nil {
		l.watch(s)
	}
	if !l.table.holds(s) { // the poller failed, and that was its end
		return
	}
	if due := l.due(s); due < s.timer || due.Sub(s.timer) > earlyEnough {
		s.timer = due
		l.wheel.Set(s.slot, due)
	}
}

// earlyEnough is how long before anything is due a timer may go off. To put it off
// costs less than a wake-up, but more than nothing.
const earlyEnough = time.Second

// alarm is called by the wheel. A session's timer may go off early, because
// its deadline has moved on meanwhile: then it is only set anew.
func (l *loop) alarm(slot uint32) {
	if slot == listenerSlot {
		l.resumeAccept()
		return
	}
	s := l.table.slots[slot].session
	if s == nil {
		return
	}
	s.timer = heartbeat.Never
	if l.now >= l.due(s) {
		l.expire(s)
	}
	l.update(s)
	l.breathe()
}

// alarmsInARow is how many timers go off before events are looked at again.
const alarmsInARow = 32

// breathe keeps a crowd of heartbeats that fall due together from holding up
// the frames of busy sessions, and takes in the first pongs with them.
func (l *loop) breathe() {
	if l.alarms++; l.alarms%alarmsInARow != 0 || !l.poll() {
		return
	}
	for _, ev := range l.ready {
		l.dispatch(ev)
	}
}

// expire handles the deadlines of a session that have come.
func (l *loop) expire(s *session) {
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
	case l.now >= s.until:
		l.end(s, proxy, s.cause.reason)
	}
}

// judgeLeg handles the deadlines of one leg of an open session, and reports
// whether the session is still live. A leg's socket is tried once more before
// the leg is given up, and all that had arrived is read first.
func (l *loop) judgeLeg(s *session, side Side) bool {
	g := &s.legs[side]
	if g.stuck(l.now) || l.now >= g.by || g.beat.Overdue(l.now) {
		l.retry(s, side)
		if s.cause.kind != live || l.measureBacklog(g) {
			return s.cause.kind == live
		}
	}
	switch {
	case g.out == outBroken && l.now >= g.by:
		l.lost(s, side, errUnread)
	case g.stuck(l.now) && l.judgeTail(g):
		l.end(s, side, metrics.WriteTimeout)
	default:
		l.beat(s, side)
	}
	return s.cause.kind == live
}

// beat lets a leg's heartbeat act.
func (l *loop) beat(s *session, side Side) {
	g := &s.legs[side]
	action := g.beat.Advance(l.now, l.grids[side].Horizon(l.now))
	if action == heartbeat.Look {
		action = g.beat.Looked(&l.rules[side], l.now, l.delivery(g, l.rules[side].Timeout, l.patienceFor(side)))
	}
	switch action {
	case heartbeat.None, heartbeat.Look:
	case heartbeat.Ping:
		l.flush(s, side)
	case heartbeat.Expired:
		l.end(s, side, metrics.PingTimeout)
	}
}

// patienceFor is how long a ping may wait before a peer's TCP that has no room.
// Where any byte is life, WRITE_TIMEOUT is the measure for a full socket.
func (l *loop) patienceFor(side Side) time.Duration {
	if l.rules[side].Liveness == heartbeat.AnyByte {
		return l.patience.write
	}
	return 0
}

// due is when the session's next deadline is.
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
			at = min(at, l.nextBeat(g, side))
		}
	}
	return at
}

// nextBeat is when a leg's heartbeat has something to do.
func (l *loop) nextBeat(g *leg, side Side) heartbeat.Time {
	next := g.beat.Next()
	if g.beat.Waiting() {
		next = l.grids[side].Alarm(next)
	}
	return next
}

// idleAt is when a session will have carried no data for too long.
func (l *loop) idleAt(s *session) heartbeat.Time {
	if l.cfg.IdleTimeout == 0 {
		return heartbeat.Never
	}
	return s.lastData.Add(l.cfg.IdleTimeout)
}

// stalledAt is when a session has stood still for too long that is inside a frame
// in both directions, and who is at fault then. Neither peer can be pinged there,
// so a ping that is due wants progress in its place.
func (l *loop) stalledAt(s *session) (side Side, at heartbeat.Time) {
	if !s.midFrame(client) || !s.midFrame(upstream) || s.legs[client].paused || s.legs[upstream].paused {
		return client, heartbeat.Never
	}
	at = heartbeat.Never
	for _, each := range sides {
		r, g := &l.rules[each], &s.legs[each]
		if !g.beat.Wanted() || !r.HasDeadline(l.answersPings(s, each)) {
			continue
		}
		if by := max(g.beat.Due(), s.lastData).Add(r.Timeout); by < at {
			side, at = each, by
		}
	}
	return side, at
}
