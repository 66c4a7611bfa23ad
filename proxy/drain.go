package proxy

import (
	"slices"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
)

// What a drain does on a loop. A drain is of the whole server (shutdown.go) or of one
// upstream, which an operator takes out of use.

// DrainTargets takes the targets with this name out of use, or only the one with this
// address if address is not empty. They get no new sessions. Each of their sessions is
// sent its Close at a moment within spread. DrainTargets returns false if there is no such
// target.
func (s *Server) DrainTargets(name, address string, spread time.Duration) (found bool) {
	if !s.pool.Has(name, address) {
		return false
	}
	s.cfg.Log.Info("upstream drains, as an operator has asked", targetAttrs(name, address, "spread", spread)...)
	theirs := goesTo(s.pool.SetDrained(name, address, true)) // first: a session that opens from now on ends at once
	s.onEveryLoop(func(l *loop) { l.endWithin(spread, theirs) })
	return true
}

// ResumeTargets brings the targets back into use that DrainTargets has taken out. Their
// sessions that have not been sent their Close yet stay. ResumeTargets returns false if
// there is no such target.
func (s *Server) ResumeTargets(name, address string) (found bool) {
	if !s.pool.Has(name, address) {
		return false
	}
	s.cfg.Log.Info("upstream is resumed, as an operator has asked", targetAttrs(name, address)...)
	theirs := goesTo(s.pool.SetDrained(name, address, false))
	s.onEveryLoop(func(l *loop) { l.keep(theirs) })
	return true
}

// goesTo returns which sessions have one of the targets.
func goesTo(targets []*backend.Target) func(*session) bool {
	return func(s *session) bool { return slices.Contains(targets, s.target) }
}

// targetAttrs returns what the log says about an operator's request.
func targetAttrs(name, address string, more ...any) []any {
	attrs := []any{"name", name}
	if address != "" {
		attrs = append(attrs, "address", address)
	}
	return append(attrs, more...)
}

// drain makes the loop refuse every client from now on, and ends all its sessions within
// spread.
func (l *loop) drain(spread time.Duration) {
	l.draining = true
	l.refuseHandshakes()
	l.endWithin(spread, func(*session) bool { return true })
}

// shutDoor makes the loop refuse every client from now on, and stops accepting.
func (l *loop) shutDoor() {
	if l.shut {
		return
	}
	l.draining, l.shut = true, true
	l.attempt((*loop).stopAccept)
	l.refuseHandshakes()
}

// refuseHandshakes refuses the handshakes under way. Those whose client must be told later
// are told by a later step.
func (l *loop) refuseHandshakes() {
	l.forEach(func(s *session) {
		if s.opening == nil {
			return
		}
		if stop := s.opening.step().stop; stop != nil {
			stop(l, s)
			l.update(s)
		}
	})
}

// comesLate makes the handshake of a client end with a refusal once its request has come.
// The client is late: no drain waits for it.
func (l *loop) comesLate(s *session) {
	if !s.isLate() {
		s.opening.late = true
		l.server.unpermit(&s.opening.standing)
		l.server.unkept()
	}
}

// isLate reports whether the client has come too late for a session.
func (s *session) isLate() bool { return s.opening != nil && s.opening.late }

// endWithin ends the sessions for which which holds within spread: each in its own part of
// that time, at a moment drawn at random. So clients that connect again do not come all at
// once.
func (l *loop) endWithin(spread time.Duration, which func(*session) bool) {
	sessions := 0
	l.forEach(func(s *session) {
		if s.opening == nil && which(s) {
			sessions++
		}
	})
	part := float64(spread) / float64(max(1, sessions))
	next := 0.0
	l.forEach(func(s *session) {
		if s.opening == nil && which(s) {
			l.endBy(s, l.now.Add(time.Duration((next+l.random.Float64())*part)))
			l.update(s)
			next++
		}
	})
}

// endBy ends a live session for a drain at a moment, unless its time is over before.
func (l *loop) endBy(s *session, at heartbeat.Time) {
	switch {
	case s.cause.kind != live:
	case at <= l.now:
		l.endDrained(s)
	case at < s.until:
		s.until, s.cause.reason = at, metrics.Drain
	}
}

// keep takes back the moments that a drain of an upstream has given to sessions for which
// which holds. It does nothing while the whole server drains.
func (l *loop) keep(which func(*session) bool) {
	if l.draining {
		return
	}
	l.forEach(func(s *session) {
		if s.opening == nil && s.cause.kind == live && s.cause.reason == metrics.Drain && which(s) {
			s.until, s.cause.reason = l.oldAt(s), metrics.MaxDuration
			l.update(s)
		}
	})
}

// endDrained ends a live session for a drain, of the whole server or of its upstream.
func (l *loop) endDrained(s *session) {
	c := cause{side: proxy, reason: metrics.Drain}
	if !l.draining {
		c.alone, c.detail = true, &upstreamDrained
	}
	l.drop(s, c, nil)
}

// cutShort is what the log is told of a session that cutAll has cut before its time.
var cutShort = "cut before both sides were told and had answered"

// cutAll closes every session and every handshake of the loop, except the clients that have
// come late while the listener is open. It returns how many of the sessions had still to be
// told their end, or waited for a peer's answer.
func (l *loop) cutAll() (short int) {
	l.forEach(func(s *session) {
		switch {
		case s.isLate() && !l.shut:
			return
		case s.opening != nil:
			l.abandon(s, metrics.ResultDraining, "shutdown", errShutdown)
			return
		}
		l.endDrained(s)
		if s.cause.kind == closing {
			s.cause = cause{kind: dropped, side: proxy, reason: metrics.Drain, detail: new("cut before the other side's Close was answered")}
		}
		if s.unfinished() {
			short++
			if s.cause.detail == nil {
				s.cause.detail = &cutShort
			}
		}
		for _, side := range sides {
			l.cut(s, side)
		}
		l.settle(s)
	})
	return short
}

// unfinished reports whether something is still to be written to a leg, or to be answered
// by its peer. A leg that only waits for the end of its peer's TCP, or that is broken, is
// finished.
func (s *session) unfinished() bool {
	for i := range s.legs {
		if g := &s.legs[i]; g.io != nil && g.out < outResting {
			return true
		}
	}
	return false
}
