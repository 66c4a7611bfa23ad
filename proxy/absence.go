package proxy

import (
	"time"

	"holdfast/heartbeat"
)

// An absence is a time in which the loop read nothing: the process was stopped, or the
// loop had too much to do. Meanwhile the receive buffer of a leg may have filled up. Then
// an answer waits in the peer's kernel, and the peer's program may not even have been
// able to write it.
type absence struct {
	from time.Duration // shorter ones do not count
	away bool          // the loop may have been away, and some legs may not have been read since
	late bool          // and a timer shows that it was
}

// shortestAbsence is a hundredth of the shortest deadline for an answer: deadlines are
// not kept more exactly than that. It is at least 10 ms, since every loop is late by some.
func (c *Config) shortestAbsence() time.Duration {
	shortest := c.CloseTimeout
	for _, r := range []heartbeat.Rules{c.Client, c.UpstreamSide} {
		if r.Timeout > 0 {
			shortest = min(shortest, r.Timeout)
		}
	}
	return max(shortest/100, 10*time.Millisecond)
}

// note is told when the clock was last read, what it says now, and when the next timer was
// due. Between the two the loop may only have waited for events, with nothing to read.
func (a *absence) note(before, now, due heartbeat.Time) {
	a.away = a.away || now.Sub(before) >= a.from
	a.late = a.late || due < now && now.Sub(due) >= a.from
}

// over is called when each leg has had its chance to be read.
func (a *absence) over() { a.away, a.late = false, false }

// excuse gives the peer of a leg a whole timeout for the answer that it owes, if its bytes
// lay unread while the loop was away. Inside a frame in both directions, data has to move
// in place of an answer, see stalledAt: what lay unread is such data. excuse is called
// before the leg is read. A peer that floods while the loop is in time is not excused. What
// lies unread because of the leg's pace does not put off the end of a close (pace.go).
func (l *loop) excuse(s *session, side Side) {
	g := &s.legs[side]
	closing := g.said() && g.tail == nil && g.by != heartbeat.Never && (l.absence.late || !l.wasSlowed(s, side))
	inFrames := s.midFrame(client) && s.midFrame(upstream)
	a := l.app(s, side)
	owes := g.beat.Owes() || a != nil && a.beat.Owes()
	if !owes && !closing && !inFrames || g.io == nil || g.io.Unread() == 0 {
		return
	}
	if !l.absence.late && g.io.LastACKs().Data < l.absence.from {
		return
	}
	g.beat.Pause()
	if a != nil {
		a.beat.Pause()
	}
	if !l.slowed(s, side) { // its deadlines stand still in any case
		g.beat.Resume(&l.rules[side], l.now, true)
		if a != nil {
			a.beat.Resume(&l.apps[side].rules, l.now, true)
		}
	}
	if inFrames {
		s.lastData = l.now
	}
	if closing {
		g.asks(l.now, l.patience.close)
	}
}
