package heartbeat

import "time"

// A Wait says how far the wait for an answer has come. The question may be a ping, or
// anything else that a peer has to answer within a timeout.
//
// A peer can answer only what has reached it. In the kernel a question may wait behind
// megabytes, for which a slow link needs half a minute. So the peer's time for the
// answer begins when its TCP has acknowledged the question. A look at that costs a
// system call. So the first look comes when half of the timeout is over: most answers
// have arrived by then.
//
//	Unseen   not looked yet                         Look → Queued, Arrived
//	Queued   the last look: it has not arrived      Look → Queued, Arrived, over
//	Arrived  the answer is due by a deadline        over
type Wait uint8

const (
	Unseen Wait = iota
	Queued
	Arrived
)

// A Delivery is the result of a look: how far a question has come.
type Delivery struct {
	// Arrived says that the peer's TCP has acknowledged the whole question.
	Arrived bool
	// Moved is when the peer's TCP last acknowledged new bytes, as exactly as the
	// kernel tells. It is 0 if the peer's TCP has acknowledged nothing, and is not
	// Never.
	Moved Time
	// Patience is for a peer whose TCP answers and has no room, since its program reads
	// slowly or not at all: it is how long nothing may move. 0 means that the peer is
	// not such a one.
	Patience time.Duration
}

// Ask starts a wait at now, and returns when to look first.
func (w *Wait) Ask(now Time, timeout time.Duration) (at Time) {
	*w = Unseen
	return now.Add(timeout / 2)
}

// Look continues a wait with the result of a look. at is when that look was due, by Ask
// or by the last Look; now is when it took place. next is when to look again. over says
// that the peer's time is over.
//
//   - If the question has arrived at the first look, the answer is due one timeout
//     after Ask.
//   - If it arrives later, the answer is due one timeout after its arrival.
//   - Until it arrives, the peer counts as alive while something moves. Its time is
//     over when nothing has moved for the timeout, or for Patience if that is longer.
//   - A peer without room has Patience for its answer, too: its program has to read
//     the bytes before the question first.
func (w *Wait) Look(at, now Time, timeout time.Duration, d Delivery) (next Time, over bool) {
	half := timeout / 2
	deadline := at.Add(timeout - half) // one timeout after Ask, if *w is Unseen
	switch {
	case *w == Arrived:
		if d.Patience == 0 {
			return at, true
		}
		next = min(d.Moved.Add(d.Patience), now.Add(half))
		return next, now >= next
	case *w == Unseen && now < deadline:
		next = deadline
	case *w == Unseen && d.Arrived: // the first look came too late to tell when
		next = max(deadline, d.Moved.Add(timeout))
	case *w == Unseen:
		next = now.Add(half)
	case d.Arrived:
		next = d.Moved.Add(timeout)
	default:
		next = min(d.Moved.Add(max(timeout, d.Patience)), now.Add(half))
	}
	*w = Queued
	if d.Arrived {
		*w = Arrived
	}
	return next, now >= next
}
