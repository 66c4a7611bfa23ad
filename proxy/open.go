package proxy

import (
	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/frame"
)

// open is where a handshake becomes a session: from here on there are frames.
// What either peer sent too early is scanned like all that follows.
func (l *loop) open(s *session) {
	o := s.opening
	s.opening = nil
	l.begin(s, o.deflate)
	s.backend.Sessions(1)
	l.metrics.Opened()
	l.metrics.Handshake(metrics.ResultOK)
	l.metrics.HandshakeDuration(metrics.Total, l.now.Sub(o.began))
	l.take(s, client, o.head)
	l.take(s, upstream, o.reply)
	if l.draining { // its 101 went out while the proxy began to stop
		l.end(s, proxy, metrics.Drain)
	}
}

// begin gives a session the state that it has when its first frame comes.
func (l *loop) begin(s *session, deflate bool) {
	s.opened, s.lastData = l.now, l.now
	s.until, s.cause.reason = l.oldAt(), metrics.MaxDuration
	phase := l.random.Float64()
	for _, side := range sides {
		g := &s.legs[side]
		g.scan = frame.NewScanner(side == client, deflate)
		g.beat.Open(&l.rules[side], l.now, phase)
	}
}

// oldAt is when a session that opens now is too old: a tenth earlier or later
// than the limit, so that sessions opened together do not end together.
func (l *loop) oldAt() heartbeat.Time {
	limit := l.cfg.MaxSessionDuration
	if limit == 0 {
		return heartbeat.Never
	}
	return l.now.Add(limit + durationShare(limit, 0.2*(l.random.Float64()-0.5)))
}
