package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/frame"
)

// A leg is one of a session's two connections.
type leg struct {
	io transport // nil when the descriptor is closed

	in       inState
	out      outState
	paused   bool           // not read because the other leg has a tail
	parting  bool           // what is written now is the last, and our end of the TCP stream follows
	told     bool           // our Close has arrived at the peer's TCP, and it sends on
	crowded  bool           // the last read brought many control frames: the next takes less
	fault    Reason         // outBroken: how the write failed
	wait     heartbeat.Wait // with by: how far the wait has come
	interest epoll.Ready
	backlog  uint16 // KiB that were unread when a deadline came, and are to be read before it is judged
	closeIn  uint16 // code of the Close received: noCode, emptyCode or the code
	closeOut uint16 // likewise, sent

	scan frame.Scanner   // what comes from the peer
	beat heartbeat.State // whether the peer is alive

	held    *held    // the beginning of a header or control frame from the peer
	tail    *tail    // what the socket did not take
	pending *pending // control frames of ours that wait for a frame boundary

	by heartbeat.Time // while the session ends, or a write has failed: when the next step must be done

	mark  int64          // where in the stream the last ping ended, or the Close
	acked int64          // how far the peer's TCP is known to have acknowledged the stream
	moved heartbeat.Time // when acked last moved, or what waits for that was written

	frames         uint64 // data frames received
	received, sent uint64 // bytes
}

// inState is what becomes of bytes from a peer.
type inState uint8

const (
	inOpen    inState = iota // scanned and passed on; finishes → inDiscard, ended → inEnded
	inDiscard                // read and thrown away: the peer sent its Close or broke the protocol; ended → inEnded
	inEnded                  // the peer's stream has ended
)

// outState is what may be written to a peer. From each broke leads to outBroken.
type outState uint8

const (
	outOpen    outState = iota // anything; closes → outClosing, holdsClose → outHeld, saidClose → outClosed
	outHeld                    // what still comes for it; a Close of ours waits until the other leg has finished; closes → outClosing
	outClosing                 // a Close of ours is due at the next frame boundary; saidClose → outClosed
	outClosed                  // a Close has been written or stands last in the tail; rests → outResting
	outResting                 // everything is said; the end of the peer's TCP is awaited
	outBroken                  // the socket takes nothing more; the end of the peer's stream is awaited
)

// Values of closeIn and closeOut that are no close code.
const (
	noCode    = 0    // there was no Close
	emptyCode = 1005 // there was a Close without a code (RFC 6455 7.1.5)
)

// held is the beginning of a header or of a control frame, kept until the rest comes.
type held struct {
	n   int
	buf [frame.MaxHeld]byte
}

// pending are the control frames that a leg is still to be sent. One pong at
// the most: the latest ping wins (RFC 6455 5.5.3), so a flood of them costs nothing.
type pending struct {
	hasPong bool
	pong    frame.ControlFrame
	close   []byte // payload of the Close, for outClosing
}

// midFrame reports whether what has been written to side, and is in its tail,
// ends inside a frame. Our own frames must not be put there.
func (s *session) midFrame(side Side) bool {
	return s.legs[opposite(side)].scan.MidFrame()
}

// insideFrame reports whether the peer is in the middle of a frame, header included.
func (g *leg) insideFrame() bool { return g.scan.MidFrame() || g.held != nil }

// wants reports whether a frame of ours is due on the leg.
func (g *leg) wants() bool {
	switch g.out {
	case outOpen:
		return g.pending != nil && g.pending.hasPong || g.wantsPing()
	case outClosing:
		return true
	default:
		return false
	}
}

// takes reports whether bytes of the other peer's may still be written to the leg.
func (g *leg) takes() bool { return g.out < outClosed }

// said reports whether a Close has been written to the leg.
func (g *leg) said() bool { return g.out == outClosed || g.out == outResting }

// wantsPing reports whether a ping is due that does not stand in the tail already.
func (g *leg) wantsPing() bool { return g.beat.Wanted() && !g.pingInTail() }

func (g *leg) pingInTail() bool { return g.tail != nil && g.tail.pingEnd > g.tail.from }

func (g *leg) pend() *pending {
	if g.pending == nil {
		g.pending = new(pending)
	}
	return g.pending
}

// The transitions of a leg's end. Each sets a state and the deadline that goes with
// it, and nothing else sets either.

// patience is how long a peer may take over what it is sent at the end.
type patience struct {
	write time.Duration // in which its TCP must acknowledge something while bytes wait for it
	close time.Duration // for the answer to a Close, and for the end of its TCP
}

// open begins a leg on a connection that is there.
func (g *leg) open(io transport) { g.io, g.in, g.out, g.by = io, inOpen, outOpen, heartbeat.Never }

// silence ends what only a live session has: heartbeats, and pongs that wait. A
// broken leg keeps its deadline.
func (g *leg) silence() {
	g.beat.Stop()
	if g.pending != nil {
		g.pending.hasPong = false
	}
	if g.out != outBroken {
		g.by = heartbeat.Never
	}
}

// finishes: what the peer still sends is for nobody.
func (g *leg) finishes() { g.in = inDiscard }

// ended: the peer's stream has ended.
func (g *leg) ended() { g.in = inEnded }

// holdsClose: a Close with this payload is to be written when the other leg has finished.
func (g *leg) holdsClose(payload []byte) {
	g.out = outHeld
	g.pend().close = payload
}

// closes: a Close with this payload is to be written at the next frame boundary.
func (g *leg) closes(now heartbeat.Time, p *patience, payload []byte) {
	g.out = outClosing
	g.pend().close = payload
	g.within(now, p.close)
}

// saidClose: a Close stands last in the stream. If it stands in the tail, flushed follows.
func (g *leg) saidClose(now heartbeat.Time, p *patience) {
	g.out = outClosed
	g.pending = nil
	g.asks(now, p.close)
}

// flushed: the tail is gone, and what was to follow it has its time from now on.
func (g *leg) flushed(now heartbeat.Time, p *patience) {
	switch g.out {
	case outClosing:
		g.within(now, p.close)
	case outClosed:
		g.asks(now, p.close)
	case outOpen, outHeld, outResting, outBroken:
	}
}

// pauses: the leg is not read, and its clock stands still. by is how much of the
// time is left until it goes on.
func (g *leg) pauses(now heartbeat.Time) {
	g.paused = true
	g.beat.Pause()
	if g.out != outBroken && g.by != heartbeat.Never {
		g.by -= now
	}
}

// resumes: the leg is read again. What lay unread is read before anything is judged. If
// something did, the peer may have waited for us to read.
func (g *leg) resumes(r *heartbeat.Rules, now heartbeat.Time) {
	g.paused = false
	heldUp := g.io != nil && g.beat.Owes() && g.io.Unread() > 0
	g.beat.Resume(r, now, heldUp)
	if g.out != outBroken && g.by != heartbeat.Never {
		g.by += now
	}
}

// till sets the deadline.
func (g *leg) till(now, by heartbeat.Time) {
	g.by = by
	if g.paused && g.out != outBroken {
		g.by -= now // see pauses
	}
}

// rests: everything is said, and only the end of the peer's TCP is awaited.
func (g *leg) rests(now heartbeat.Time, p *patience) {
	g.out = outResting
	g.asks(now, p.close)
}

// broke: a write has failed. The peer may have sent a Close before, which is still to be read.
func (g *leg) broke(now heartbeat.Time, p *patience, why Reason) {
	g.out, g.fault = outBroken, why
	g.within(now, p.close)
}

// cut: its descriptor is closed.
func (g *leg) cut() {
	g.io = nil
	g.interest = 0 // closing the descriptor removes it from the poller: there is no duplicate
	g.in, g.out, g.by = inEnded, outBroken, heartbeat.Never
	g.held, g.pending = nil, nil
}

// asks starts a whole timeout for the answer to what was written last.
func (g *leg) asks(now heartbeat.Time, timeout time.Duration) {
	g.marks(now)
	g.till(now, g.wait.Ask(now, timeout))
}

// marks notes that the peer will owe an answer to what was written last.
func (g *leg) marks(now heartbeat.Time) {
	g.mark, g.backlog = g.written(), 0
	if g.tail == nil {
		g.moved = now
	}
}

// deadline is when the leg is to be looked at, or given up. What stands behind a
// tail waits for that, and an answer that we leave unread is not late.
func (g *leg) deadline() heartbeat.Time {
	switch {
	case g.tail != nil:
		return g.tail.by
	case g.paused && g.out != outBroken:
		return heartbeat.Never
	default:
		return g.by
	}
}

// within sets a deadline that no acknowledgement puts off.
func (g *leg) within(now heartbeat.Time, timeout time.Duration) {
	g.backlog = 0
	g.wait = heartbeat.Arrived
	g.till(now, now.Add(timeout))
}
