package heartbeat

import "time"

// Action is what Advance asks of its caller.
type Action uint8

const (
	None    Action = iota // nothing
	Ping                  // write a ping, then call Sent; if it has to wait for the end of a message, call Defer
	Look                  // the pong is late: find out how far the ping has come, then call Looked
	Expired               // returned by Looked only: the peer missed its deadline, so end the session
)

// status is where a State stands. A State waits for one instant at most, and status
// says for which. So a State never has two deadlines, or a deadline and a due ping:
//
//	off       nothing is scheduled               Open → waiting
//	waiting   the next ping is due at at         Advance → wanted
//	wanted    a ping was due at at, is not sent  Sent → owed, or waiting if it has no deadline; Defer → deferred
//	owed      an answer is awaited. at is when   Pong, Heard → waiting
//	          to look, or the deadline, as wait  Looked → off, if it returns Expired
//	          says; nothing is due while paused
//	deferred  a ping waits for the end of a      Sent, as from wanted; Advance → pressing
//	          message, until at
//	pressing  a ping has waited until at for     Sent, as from wanted
//	          the end of a message
//
// Stop leads from each status to off.
type status uint8

const (
	off status = iota
	waiting
	wanted
	owed
	deferred
	pressing
)

// State is one leg's heartbeat: plain data, which AppendBinary encodes and
// UnmarshalBinary restores. The zero State is stopped.
type State struct {
	at       Time          // what it means depends on status
	sentAt   Time          // when the latest ping was sent
	payload  uint64        // the latest ping's
	rtt      time.Duration // the last measured round trip, if measured is set
	earlier  *earlierPings // open pings before the latest; nil until there is the first
	open     uint8         // pings that may still be answered: the latest, then those in earlier
	status   status
	wait     Wait // how far the wait for the answer has come; used while status is owed
	paused   bool // we do not read from the peer
	heard    bool // owed: the peer has sent something since its whole timeout began
	measured bool // a round trip has been measured
	delayed  bool // the latest ping or its pong was delayed on our side: do not measure its round trip
	manner   manner
}

// manner is what the pongs of a peer have shown of how it answers pings.
type manner uint8

const (
	unknown   manner = iota // none has echoed a ping
	otherwise               // none has; one with another payload has answered the open pings, whose echoes are still recognised
	byEcho                  // one has, so the peer's answers are echoes
	replied                 // the latest ping has had a Reply, and an earlier one is still open
	behind                  // the ping before the latest had one, and an earlier one is still open
)

// Open starts the heartbeat of a peer that we read from. phase, from 0 to 1, is the
// part of the jitter that this session takes. Sessions with different phases that were
// opened together do not ping together.
func (s *State) Open(r *Rules, now Time, phase float64) {
	*s = State{}
	if r.Interval > 0 {
		s.status, s.at = waiting, now.Add(r.first(phase))
	}
}

// Next returns when Advance must be called. It returns Never if nothing is scheduled,
// which includes a ping that is wanted, not sent yet and not deferred.
func (s *State) Next() Time {
	if s.status == waiting || s.status == deferred || s.status == owed && !s.paused {
		return s.at
	}
	return Never
}

// Overdue reports whether Advance would return Look. The caller reads from the peer
// once more before it looks.
func (s *State) Overdue(now Time) bool {
	return s.status == owed && s.reached(now)
}

// Advance returns what is due at now, or None before Next. It returns one Ping, even
// if several intervals have passed. After Look the caller must call Looked.
//
// A ping that is due by horizon (≥ now) is due already: so a caller can send pings
// early, instead of waking up for each of them.
func (s *State) Advance(now, horizon Time) Action {
	switch {
	case s.status == waiting && s.reached(horizon):
		s.status = wanted
		return Ping
	case s.status == deferred && s.reached(now):
		s.status = pressing
		return Ping
	case s.status == owed && s.reached(now):
		return Look
	default:
		return None
	}
}

// Looked is called after Look with what the caller found out: d says how far the ping
// has come. It returns Expired if the peer missed its deadline, and stops the
// heartbeat then. Otherwise it returns None.
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

// Waiting reports whether Next is when a ping is due.
func (s *State) Waiting() bool {
	return s.status == waiting
}

// reached reports whether now is Next or later. Never is not reached, even if now is
// Never.
func (s *State) reached(now Time) bool {
	next := s.Next()
	return next != Never && now >= next
}

// Wanted reports whether a ping is due, or deferred, and has not been sent yet.
func (s *State) Wanted() bool {
	return s.status == wanted || s.status == deferred || s.status == pressing
}

// Due returns when the wanted ping was due, or when a deferred one is. It is meaningless
// unless Wanted.
func (s *State) Due() Time {
	return s.at
}

// Defer records that the wanted ping waits for the end of a message. The ping may leave
// at any time from now on. It counts as due when its wait is over, a quarter of the
// interval later: then Advance returns Ping again, and the ping presses. A ping is
// deferred once.
func (s *State) Defer(r *Rules) {
	if s.status == wanted {
		s.status, s.at = deferred, s.at.Add(r.MessageWait())
	}
}

// Presses reports whether the wanted ping has waited long enough for the end of a
// message, so that it is sent at the end of a frame.
func (s *State) Presses() bool {
	return s.status == pressing
}

// Sent records that the kernel took the wanted ping. armed says that the peer is known
// to answer pings; it matters to LearnPong only. delayed says that the kernel had other
// bytes to send first, so the ping's round trip would be longer than the path's. Sent
// does nothing if no ping is wanted, for example after Stop.
func (s *State) Sent(r *Rules, now Time, payload uint64, armed, delayed bool) {
	if !s.Wanted() {
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
	s.heard = false
}

// Heard records that bytes arrived from the peer, pongs included. midFrame says that
// the peer was inside a frame before those bytes or after them.
func (s *State) Heard(r *Rules, now Time, midFrame bool) {
	switch {
	case s.status != owed:
	case r.Liveness == AnyByte:
		s.settle(r, now)
	case midFrame:
		// A pong cannot come inside another frame (RFC 6455, section 5.4, lets
		// control frames in between fragments only). So each part of the frame
		// starts a whole timeout, the last part too.
		s.ask(r, now)
	default:
		s.heard = true
	}
}

// An Answer says what a pong is to our pings. The zero Answer is nothing to them.
type Answer struct {
	Counts   bool          // it answers a ping that had no answer
	Echo     bool          // it echoes a ping of ours, so it is nobody else's
	Measured bool          // Took is the path's round trip; else our side may have delayed the answer
	Took     time.Duration // the time since the ping was sent; 0 if that is not known
}

// Pong records that a pong arrived. early says that it began to arrive before the latest
// ping was sent.
//
// A pong that echoes an open ping answers that ping. Some peers answer with an empty
// payload, or with another one. So with AnyByte a pong of any payload answers the latest
// ping, if it followed that ping and the peer has never echoed one. The other pongs of a
// peer that echoes are its own, or answers to others.
//
// Pong recognises the echoes of our pings after Stop, too: the caller must not take them
// for pongs to others.
func (s *State) Pong(r *Rules, now Time, payload []byte, early bool) Answer {
	if sentAt, latest, ok := s.echoed(payload); ok {
		counts := s.manner != otherwise
		s.manner = byEcho
		return s.accept(r, now, sentAt, latest, Answer{Counts: counts, Echo: true})
	}
	if early || s.open == 0 || s.manner != unknown || r.Liveness != AnyByte {
		return Answer{}
	}
	s.manner = otherwise
	return s.accept(r, now, s.latestSentAt(), true, Answer{Counts: true})
}

// Reply records an answer that does not say which ping it answers, such as a message of an
// application. Each ping that may still be answered takes one Reply. The first Reply after a
// ping is the answer to that ping. It is measured if no earlier ping was open, or if the ping
// before had its Reply: then the earlier one was left out. A Reply to no ping does not
// count. A State is given either replies or pongs.
func (s *State) Reply(r *Rules, now Time) Answer {
	if s.open == 0 {
		return Answer{}
	}
	sentAt, first := s.latestSentAt(), s.manner != replied
	if s.open > 1 && s.manner != behind || !first {
		sentAt = Never
	}
	s.manner = replied
	if s.open--; s.open == 0 {
		s.manner = unknown
	}
	return s.accept(r, now, sentAt, first, Answer{Counts: true, Echo: true})
}

// accept does what follows from an answer to a ping that was sent at sentAt, which is
// Never if the round trip is not measured. An echo that comes after another pong was
// taken for the answer corrects the last round trip.
func (s *State) accept(r *Rules, now, sentAt Time, latest bool, a Answer) Answer {
	if latest && s.status == owed {
		s.settle(r, now)
	}
	switch {
	case sentAt != Never:
		a.Took, a.Measured = now.Sub(sentAt), a.Counts
		s.rtt, s.measured = a.Took, true
	case latest:
		a.Took = now.Sub(s.sentAt)
	}
	return a
}

// settle removes the deadline, because the peer has answered, and schedules the next
// ping.
func (s *State) settle(r *Rules, now Time) {
	s.status, s.at = waiting, max(s.sentAt.Add(r.Interval), now)
}

// Pause records that we stopped reading from the peer. The answer may have arrived
// unread. So no deadline is due until Resume, and the round trips of open pings are not
// measured. Pings go on.
func (s *State) Pause() {
	s.paused = true
	s.unmeasure()
}

// Owes reports whether a ping with a deadline has no answer yet.
func (s *State) Owes() bool { return s.status == owed }

// Resume records that we read from the peer again. unread says that bytes of the peer lie
// unread. If they do, or if the peer has sent something before the pause, its pong may have
// waited for us behind other bytes, and has a whole timeout again. Otherwise the peer is
// silent by itself, and the deadline from before the pause holds: else a peer that is dead
// would never be found while pause follows on pause.
func (s *State) Resume(r *Rules, now Time, unread bool) {
	resumed := s.paused
	s.paused = false
	if resumed && (unread || s.heard) && s.status == owed {
		s.ask(r, now)
	}
}

// Stop ends the heartbeat: no more pings, no more deadlines.
func (s *State) Stop() {
	s.status = off
}

// RTT returns the last round trip that was measured, if there was one.
func (s *State) RTT() (time.Duration, bool) {
	return s.rtt, s.measured
}
