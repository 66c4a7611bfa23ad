package proxy

import (
	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/frame"
)

// open turns a handshake into a session: from here on there are frames. What either peer
// sent before this point is scanned like everything that follows.
func (l *loop) open(s *session) {
	o := s.opening
	l.begin(s, o.deflate)
	s.opening = nil // behind begin: a session that panics has been counted as opened
	s.target.Sessions(1)
	l.metrics.Opened()
	l.metrics.Handshake(metrics.ResultOK)
	s.target.Counts().Handshake(metrics.ResultOK)
	l.metrics.HandshakeDuration(metrics.Total, l.now.Sub(o.began))
	l.logOpened(s, l.now.Sub(o.began))
	l.paceBytes(s, client, len(o.head))
	l.take(s, client, o.head)
	l.take(s, upstream, o.reply)
	if l.draining || s.target.Drained() { // the 101 was written when the drain had begun
		l.endDrained(s)
	}
}

// begin sets the state in which a session receives its first frame.
func (l *loop) begin(s *session, deflate bool) {
	s.opened, s.lastData = l.now, l.now
	s.until, s.cause.reason = l.oldAt(s), metrics.MaxDuration
	phase := l.random.Float64()
	for _, side := range sides {
		s.hears(side, l.now)
		g := &s.legs[side]
		g.scan = frame.NewScanner(side == client, deflate)
		if l.apps[side].reads() {
			g.scan.Watch()
		}
		g.beat.Open(&l.rules[side], l.now, phase)
	}
	l.beginExtras(s, phase)
}

// oldAt returns when a session reaches MaxSessionDuration, a tenth earlier or later, so that
// sessions opened together do not end together. How much earlier or later follows from the
// session's id, so the answer is always the same. It is heartbeat.Never if there is no
// limit.
func (l *loop) oldAt(s *session) heartbeat.Time {
	limit := l.cfg.MaxSessionDuration
	if limit == 0 {
		return heartbeat.Never
	}
	return s.opened.Add(limit + durationShare(limit, 0.2*(evenly(s.id)-0.5)))
}
