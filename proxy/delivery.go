package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

// A peer owes an answer only once it has received the ping or the Close that asks for it.
// Between our write and the peer's program are the kernel's queue, which can hold
// megabytes, and a network that may be slow or lose segments. So before a deadline is
// judged, the kernel is asked how much of the leg's stream has been acknowledged. Each
// question is a system call. It is asked when an answer is late, and when a later
// question needs something to compare with, but never for an idle session whose peer
// answers.

// written returns the length of the leg's stream so far, in bytes as the peer's TCP
// counts them.
func (g *leg) written() int64 { return g.io.Position(g.sent) }

// sample asks the kernel how much of the stream has been acknowledged. It updates acked,
// and reports whether acked grew.
func (g *leg) sample() bool {
	acked := g.written() - int64(g.io.Unacked())
	if acked <= g.acked {
		return false
	}
	g.acked = acked
	return true
}

// moves takes a sample after the socket has taken bytes or has become full, so that a
// later sample shows what was acknowledged in between.
func (l *loop) moves(g *leg) {
	if g.sample() {
		g.moved = l.now
	}
}

// delivery takes a sample because an answer to what ends at mark is late. It says whether
// that has arrived, and when the peer's TCP last acknowledged something new. After a loss acked may stand still for long, until the
// first lost segment arrives. Meanwhile segments that arrive behind the gap are
// acknowledged too, and count.
//
// patience is granted to a peer whose TCP is alive, because it answered the kernel's
// probes within timeout, but has no room, because its program reads slowly or not at all.
// Its window opens in large steps, and between two steps nothing is acknowledged.
func (l *loop) delivery(g *leg, mark int64, timeout, patience time.Duration) heartbeat.Delivery {
	moves, acks := g.sample(), g.io.LastACKs()
	if moves || acks.Gap {
		g.moved = max(g.moved, l.now-heartbeat.Time(acks.Last))
	}
	l.easeBackoff(g, acks)
	d := heartbeat.Delivery{Arrived: g.acked >= mark, Moved: g.moved}
	if acks.Full {
		g.io.Outlast()
		if acks.Last < timeout {
			d.Patience = patience
		}
	}
	return d
}

// easeBackoff removes the bound on the kernel's retransmission wait if the path's round
// trip is longer than the bound. On such a path nothing is lost when the bound expires,
// and retransmissions only make the path slower.
func (l *loop) easeBackoff(g *leg, acks socket.ACKs) {
	if acks.RTT > l.backoff {
		g.io.Unlimit()
	}
}

// sampleQueue reports whether the kernel has other bytes to send before the next write.
// It asks the kernel only if not everything written is known to be acknowledged.
func (l *loop) sampleQueue(g *leg) bool {
	if g.acked >= g.written() {
		return false
	}
	l.moves(g)
	return g.acked < g.written() && g.io.Unsent() > 0
}

// answered records that the peer has received everything up to the last ping. The caller
// calls it only for a pong that is Measured: its ping was not in a tail, behind which
// more bytes may have been written.
func (g *leg) answered() { g.acked = max(g.acked, g.mark) }

// judgeTail looks at a leg whose tail's deadline has passed. If the peer's TCP has
// acknowledged something new, the deadline moves. over means that it has not for a whole
// WRITE_TIMEOUT. Progress of our writes is not a measure: the kernel reports a full
// socket as writable only when a third of its buffer is free.
func (l *loop) judgeTail(g *leg) (over bool) {
	t := g.tail
	l.delivery(g, g.mark, l.patience.write, 0)
	t.by, over = t.wait.Look(t.by, l.now, l.patience.write, heartbeat.Delivery{Moved: g.moved})
	return over
}

// measureBacklog reports whether bytes that had arrived when a deadline of the leg passed
// are still unread: the answer may be among them. It is called after a read, and again
// after each later read until it returns false. The first call records in b how much is
// unread, and catchUp subtracts what is read.
func (l *loop) measureBacklog(s *session, side Side, b *backlog) bool {
	g := &s.legs[side]
	if g.io == nil || g.paused || l.slowed(s, side) || g.in == inEnded {
		return false
	}
	unread := g.io.Unread()
	switch {
	case unread == 0 || *b == backlogRead:
		*b = 0
		return false
	case *b == 0:
		*b = backlog(min(unread>>10+1+int(backlogRead), 1<<16-1))
	}
	return true
}

// A backlog is how many KiB of a peer's bytes were unread when a deadline came. They are read
// before the deadline is judged. 0 means that no deadline waits for that.
type backlog uint16

// backlogRead is the value of a backlog when all of it has been read.
const backlogRead backlog = 1

// catchUp subtracts a read of n bytes from the backlog.
func (b *backlog) catchUp(n int) {
	if *b > backlogRead {
		*b -= min(*b-backlogRead, backlog(max(1, n>>10)))
	}
}
