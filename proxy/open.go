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
	l.take(s, client, o.head)
	l.take(s, upstream, o.reply)
	if l.draining { // the 101 was written while the drain began
		l.end(s, proxy, metrics.Drain)
	}
}

// begin sets the state in which a session receives its first frame.
func (l *loop) begin(s *session, deflate bool) {
	s.opened, s.lastData = l.now, l.now
	s.until, s.cause.reason = l.oldAt(), metrics.MaxDuration
	phase := l.random.Float64()
	for _, side := range sides {
		s.hears(side, l.now)
		g := &s.legs[side]
		g.scan = frame.NewScanner(side == client, deflate)
		g.beat.Open(&l.rules[side], l.now, phase)
	}
}

// oldAt returns when a session that opens now reaches MaxSessionDuration, a tenth earlier
// or later at random, so that sessions opened together do not end together. It returns
// heartbeat.Never if there is no limit.
func (l *loop) oldAt() heartbeat.Time {
	limit := l.cfg.MaxSessionDuration
	if limit == 0 {
		return heartbeat.Never
	}
	return l.now.Add(limit + durationShare(limit, 0.2*(l.random.Float64()-0.5)))
}
