package heartbeat

import "time"

// A Wait says how far the wait for an answer has come: to a ping, or to
// anything else that a peer is sent and has to answer within a timeout.
//
// A peer can answer only what has reached it. What has left for the kernel may
// stand there behind megabytes, which a slow link takes half a minute for. So a
// peer owes its answer once its TCP has acknowledged the question. To find out
// costs a system call: nobody looks before half of the timeout is over, when
// most answers are long there.
//
//	Unseen   nobody has looked yet             Look → Queued, Arrived
//	Queued   it had not arrived at a look      Look → Queued, Arrived, over
//	Arrived  the answer is due by a deadline   over
type Wait uint8

const (
	Unseen Wait = iota
	Queued
	Arrived
)

// A Delivery is what a look has found: how far a question has come on its way.
type Delivery struct {
	// Arrived says that the peer's TCP has acknowledged all of it.
	Arrived bool
	// Moved is when the peer's TCP last acknowledged anything that was new to
	// it, as near as the kernel tells. Never is no such time, and the zero Time
	// says that it has acknowledged nothing.
	Moved Time
	// Patience is how long nothing may move, if the peer's TCP is there and has no
	// room: its program may read slowly, or not at all. 0 is no such patience.
	Patience time.Duration
}

// Ask starts a wait at now, and returns when to look first.
func (w *Wait) Ask(now Time, timeout time.Duration) (at Time) {
	*w = Unseen
	return now.Add(timeout / 2)
}

// Look goes on with a wait at a moment that it has named before, or later. It
// returns the next such moment; over says that the peer has had its time.
//
//   - An answer to what arrived in time is due one timeout after Ask.
//   - To what arrived later, one timeout after it did.
//   - While it has not arrived, the peer is alive as long as something moves. It
//     is dead when nothing has moved for a whole timeout, or for its Patience.
//   - A peer without room has its Patience for the answer, too: what is full of
//     bytes to be read is what the question stands behind.
func (w *Wait) Look(at, now Time, timeout time.Duration, d Delivery) (next Time, over bool) {
	half := timeout / 2
	deadline := at.Add(timeout - half) // of Ask, if nobody has looked yet
	switch {
	case *w == Arrived:
		if d.Patience == 0 {
			return at, true
		}
		next = min(d.Moved.Add(d.Patience), now.Add(half))
		return next, now >= next
	case *w == Unseen && now < deadline:
		next = deadline
	case *w == Unseen && d.Arrived: // we were kept from looking in time
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
