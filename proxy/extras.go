package proxy

import "holdfast/heartbeat"

// extras are what a session has only if the configuration asks for it. They are kept beside
// the session, by its slot, so that other sessions do not pay for them: what is called at
// each read is called only if the loop has extras.
type extras struct {
	apps [2]appLeg // by side
	pace pace      // of the client
}

// needsExtras reports whether sessions have extras.
func (c *Config) needsExtras() bool {
	return c.ClientApp.exists() || c.UpstreamApp.exists() || c.ClientPace.limits()
}

// extrasOf returns the extras of an open session, or nil if it has none.
func (l *loop) extrasOf(s *session) *extras {
	if l.extras == nil || int(s.slot) >= len(l.extras) {
		return nil
	}
	return l.extras[s.slot]
}

// beginExtras makes the extras of a session that opens.
func (l *loop) beginExtras(s *session, phase float64) {
	if !l.cfg.needsExtras() {
		return
	}
	if more := int(s.slot) + 1 - len(l.extras); more > 0 {
		l.extras = append(l.extras, make([]*extras, more)...)
	}
	x := new(extras)
	l.extras[s.slot] = x
	for _, side := range sides {
		x.apps[side].beat.Open(&l.apps[side].rules, l.now, phase)
	}
	x.pace.begin(&l.cfg.ClientPace, l.now)
}

// dropExtras frees the extras of a session that leaves the loop.
func (l *loop) dropExtras(s *session) {
	if l.extrasOf(s) != nil {
		l.extras[s.slot] = nil
	}
}

// nextExtra returns when the extras of a leg next have something to do.
func (l *loop) nextExtra(s *session, side Side) heartbeat.Time {
	next := l.slowEnds(s, side)
	if a := l.app(s, side); a != nil && s.cause.kind == live {
		next = min(next, l.nextAppBeat(a, side))
	}
	return next
}

// countExtra records for the extras of a leg that n bytes were read.
func (l *loop) countExtra(s *session, from Side, n int) {
	if a := l.app(s, from); a != nil {
		a.backlog.catchUp(n)
	}
	l.paceBytes(s, from, n)
}
