package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

// A peer owes an answer only once it has got what asks for it. Between our write
// and its program lie the kernel's queue, which holds up to some megabytes, and a
// network that may be slow or lose segments. So no deadline is judged before the
// kernel was asked how far the leg's stream has been acknowledged. That costs a
// system call, and is done where an answer is late or where a baseline for it is
// needed, never for an idle session whose peer answers.

// written is where a leg's stream stands, in bytes as the peer's TCP counts them.
func (g *leg) written() int64 { return g.io.Position(g.sent) }

// sample asks the kernel how far the stream has been acknowledged, notes it, and
// reports whether that is further than was known.
func (g *leg) sample() bool {
	acked := g.written() - int64(g.io.Unacked())
	if acked <= g.acked {
		return false
	}
	g.acked = acked
	return true
}

// moves takes a sample after the socket has taken bytes, or has become full: a
// later look is to know what has been acknowledged since.
func (l *loop) moves(g *leg) {
	if g.sample() {
		g.moved = l.now
	}
}

// delivery takes a sample because an answer is late, and finds out when the peer's
// TCP last acknowledged what was new. Where segments were lost it may take long
// until the first of them arrives, and the sample moves. Meanwhile what comes
// behind them shows only in the acknowledgements that go on.
//
// patience is for a peer whose TCP is there, since it has answered the kernel's
// probes within timeout, and has no room, since its program reads slowly or not at
// all. Its window opens in large steps, and between two of them nothing moves.
func (l *loop) delivery(g *leg, timeout, patience time.Duration) heartbeat.Delivery {
	moves, acks := g.sample(), g.io.LastACKs()
	if moves || acks.Gap {
		g.moved = max(g.moved, l.now-heartbeat.Time(acks.Last))
	}
	l.easeBackoff(g, acks)
	d := heartbeat.Delivery{Arrived: g.acked >= g.mark, Moved: g.moved}
	if acks.Full && acks.Last < timeout {
		d.Patience = patience
	}
	return d
}

// easeBackoff takes the bound on the kernel's waits away from a path that is slower
// than the bound: there nothing is lost when the time is over, and what is sent
// again only makes the path slower.
func (l *loop) easeBackoff(g *leg, acks socket.ACKs) {
	if acks.RTT > l.backoff {
		g.io.Unlimit()
	}
}

// sampleQueue reports whether the kernel has other bytes to send before what is
// written next. It takes a sample only if something was written since the peer's TCP
// is known to have had everything.
func (l *loop) sampleQueue(g *leg) bool {
	if g.acked >= g.written() {
		return false
	}
	l.moves(g)
	return g.acked < g.written() && g.io.Unsent() > 0
}

// answered notes that the peer has got everything up to the last ping, which was
// written on its own: one that stood in a tail may have been followed by more.
func (g *leg) answered() { g.acked = max(g.acked, g.mark) }

// judgeTail looks at a leg with a tail whose deadline has come. What the peer's TCP
// has acknowledged puts the deadline off; over says that this was nothing for a whole
// WRITE_TIMEOUT. The kernel reports a full socket as writable only when a third of
// its buffer is free, so what we could write is not a measure.
func (l *loop) judgeTail(g *leg) (over bool) {
	t := g.tail
	l.delivery(g, l.patience.write, 0)
	t.by, over = t.wait.Look(t.by, l.now, l.patience.write, heartbeat.Delivery{Moved: g.moved})
	return over
}

// measureBacklog reports whether bytes are still to be read that had arrived when a
// deadline of the leg came: the answer may be among them. It is called after a read,
// and again after each of the next ones until it returns false. The first call notes
// how much there is, and catchUp how much of that has been read.
func (l *loop) measureBacklog(g *leg) bool {
	if g.io == nil || g.paused || g.in == inEnded {
		return false
	}
	unread := g.io.Unread()
	switch {
	case unread == 0 || g.backlog == backlogRead:
		g.backlog = 0
		return false
	case g.backlog == 0:
		g.backlog = uint16(min(unread>>10+1+backlogRead, 1<<16-1))
	}
	return true
}

// backlogRead is what a backlog has come down to when all of it has been read.
const backlogRead = 1

// catchUp notes that a read has brought n bytes.
func (g *leg) catchUp(n int) {
	if g.backlog > backlogRead {
		g.backlog -= min(g.backlog-backlogRead, uint16(max(1, n>>10)))
	}
}
