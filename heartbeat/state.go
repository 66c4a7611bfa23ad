package heartbeat

import "time"

// Action is what Advance asks of its caller.
type Action uint8

const (
	None    Action = iota // nothing
	Ping                  // write a ping at the next frame boundary, then report Sent
	Look                  // the pong is late: find out how far the ping has come, and report Looked
	Expired               // said by Looked: the peer missed its deadline, so end the session
)

// status is where a State stands. There is at most one instant to wait for, and
// status says which, so there can be no second deadline and no ping beside one:
//
//	off      nothing, ever                       Open → waiting
//	waiting  the next ping is due at at          Advance → wanted
//	wanted   a ping is due since at, not sent    Sent → owed, or waiting if it has no deadline
//	owed     an answer is awaited; by wait, at   Pong, Heard → waiting
//	         is when to look, or its deadline,   Looked → off, having said Expired
//	         but for nothing while paused
//
// Stop leads from each of them to off.
type status uint8

const (
	off status = iota
	waiting
	wanted
	owed
)

// State is one leg's heartbeat: plain data, which AppendBinary writes down and
// UnmarshalBinary restores. The zero State is stopped.
type State struct {
	at       Time          // what it means depends on status
	sentAt   Time          // when the latest ping left
	payload  uint64        // the latest ping's
	rtt      time.Duration // the last round trip, if measured
	earlier  *earlierPings // pings before the latest; nil until the first is overtaken
	open     uint8         // pings that may still be answered: the latest, then those in earlier
	status   status
	wait     Wait // owed: how far it has come
	paused   bool // we do not read from the peer
	measured bool
	delayed  bool // the latest ping or its pong was held up on our side, so its round trip says nothing
}

// Open starts the heartbeat of a peer that we read from. phase, from 0 to 1, says
// how much of the jitter this session takes, so that sessions opened together do
// not ping together.
func (s *State) Open(r *Rules, now Time, phase float64) {
	*s = State{}
	if r.Interval > 0 {
		s.status, s.at = waiting, now.Add(r.first(phase))
	}
}

// Next returns when Advance will have something to say, and Never if nothing is
// scheduled. A ping that is wanted but has not left schedules nothing.
func (s *State) Next() Time {
	if s.status == waiting || s.status == owed && !s.paused {
		return s.at
	}
	return Never
}

// Overdue reports whether Advance would say Look. A caller reads once more before
// it looks.
func (s *State) Overdue(now Time) bool {
	return s.status == owed && s.reached(now)
}

// Advance says what is due at now: one Ping, however much time was slept
// through; Look, which Looked must follow; or None before Next. A caller
// that would rather send a ping early than wake up for it alone says by horizon,
// not before now, which pings may leave: those that are due by then.
func (s *State) Advance(now, horizon Time) Action {
	switch {
	case s.status == waiting && s.reached(horizon):
		s.status = wanted
		return Ping
	case s.status == owed && s.reached(now):
		return Look
	default:
		return None
	}
}

// Looked answers Look: how far the ping has come. It says Expired, after which
// nothing follows, or None.
func (s *State) Looked(r *Rules, now Time, d Delivery) Action {
	if s.status != owed || !s.reached(now) {
		return None
	}
	var over bool
	if s.at, over = s.wait.Look(s.at, now, r.Timeout, d); over {
		s.Stop()
		return Expired
	}
	return None
}

// Waiting reports whether what Next tells is when a ping is due.
func (s *State) Waiting() bool {
	return s.status == waiting
}

// reached reports whether what is scheduled is due. Never is not reached, even at
// the end of time.
func (s *State) reached(now Time) bool {
	next := s.Next()
	return next != Never && now >= next
}

// Wanted reports whether a ping is due and has not left yet.
func (s *State) Wanted() bool {
	return s.status == wanted
}

// Due returns when the wanted ping was due. It is meaningless unless Wanted.
func (s *State) Due() Time {
	return s.at
}

// Sent says that the wanted ping has left for the kernel. armed says whether the
// peer is known to answer pings; only LearnPong asks. delayed says that the
// kernel had other bytes to send first, so that its round trip is not the path's.
// Without a wanted ping, as when Stop overtook it, Sent does nothing.
func (s *State) Sent(r *Rules, now Time, payload uint64, armed, delayed bool) {
	if s.status != wanted {
		return
	}
	s.remember(payload, now)
	s.delayed = delayed || s.paused
	if !r.HasDeadline(armed) {
		s.status, s.at = waiting, now.Add(r.Interval)
		return
	}
	s.status = owed
	s.ask(r, now)
}

// ask starts a whole timeout for the answer that is owed.
func (s *State) ask(r *Rules, now Time) {
	s.at = s.wait.Ask(now, r.Timeout)
}

// Heard says that bytes arrived from the peer, pongs included. midFrame says
// that the peer was inside a frame before them or after them.
func (s *State) Heard(r *Rules, now Time, midFrame bool) {
	switch {
	case s.status != owed:
	case r.Liveness == AnyByte:
		s.settle(r, now)
	case midFrame:
		// A pong cannot come inside another frame (RFC 6455, section 5.4, lets
		// control frames in between fragments only): progress suspends the
		// deadline, and the frame's last bytes start a whole one.
		s.ask(r, now)
	}
}

// Echo says what a pong is to us.
type Echo uint8

const (
	Foreign    Echo = iota // it echoes no ping of ours that was not answered before
	Unmeasured             // it answers a ping of ours; its round trip was held up on our side
	Measured               // it answers a ping of ours
)

// Pong says that a pong arrived, and returns how long that took since its ping left;
// 0 where that is not known. It knows our pings after Stop as well, so that their
// pongs are never taken for others.
func (s *State) Pong(r *Rules, now Time, payload []byte) (took time.Duration, echo Echo) {
	sentAt, latest, ok := s.answer(payload)
	if !ok {
		return 0, Foreign
	}
	if latest && s.status == owed {
		s.settle(r, now)
	}
	switch {
	case sentAt == Never:
		return 0, Unmeasured
	case latest && s.delayed:
		return now.Sub(sentAt), Unmeasured
	}
	s.rtt, s.measured = now.Sub(sentAt), true
	return s.rtt, Measured
}

// settle is called when the peer has given what it owed: the deadline is gone
// and the next ping is scheduled.
func (s *State) settle(r *Rules, now Time) {
	s.status, s.at = waiting, max(s.sentAt.Add(r.Interval), now)
}

// Pause says that we stopped reading from the peer. An answer may lie unread, so
// a deadline stands still, and round trips are not measured. Pings go on.
func (s *State) Pause() {
	s.paused = true
	s.unmeasure()
}

// Owes reports whether a ping with a deadline has no answer yet.
func (s *State) Owes() bool { return s.status == owed }

// Resume says that we read again. heldUp says that bytes of the peer's lie unread: the
// peer may have waited for us, so the answer that it owes has a whole timeout again. If
// nothing lies unread, the pause held nothing up, and the deadline is the one before it.
func (s *State) Resume(r *Rules, now Time, heldUp bool) {
	resumed := s.paused
	s.paused = false
	if resumed && heldUp && s.status == owed {
		s.ask(r, now)
	}
}

// Stop says that the session is ending: no more pings, no more deadlines.
func (s *State) Stop() {
	s.status = off
}

// RTT returns the last round trip that was measured, if there was one.
func (s *State) RTT() (time.Duration, bool) {
	return s.rtt, s.measured
}
