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
	paused   bool           // the leg is not read, because the other leg has a tail
	parting  bool           // the next bytes are the last, and the end of our direction follows them
	told     bool           // the peer's TCP has acknowledged our Close, and the peer still sends
	crowded  bool           // the last read brought many control frames, so the next one takes less
	fault    Reason         // outBroken: how the write failed
	wait     heartbeat.Wait // how far the wait until by has come
	interest epoll.Ready
	backlog  backlog // what was unread when a deadline came
	closeIn  uint16  // the Close received: noCode, emptyCode or its code
	closeOut uint16  // the Close sent: noCode, emptyCode or its code

	scan frame.Scanner   // walks the frames from the peer
	beat heartbeat.State // the peer's heartbeat

	held    *held    // the beginning of what cannot be decided on yet
	tail    *tail    // what the socket did not take
	pending *pending // control frames of ours that wait for a gap, and what lay unread when a ping left

	by heartbeat.Time // deadline of the next step while the session ends, or after a write failed

	mark  int64          // position in the stream behind the last ping, or behind the Close
	acked int64          // how much of the stream the peer's TCP is known to have acknowledged
	moved heartbeat.Time // when acked last moved, or when what waits for it was written

	frames         uint64 // data frames received
	received, sent uint64 // bytes
}

// inState says what the loop does with bytes from a peer.
type inState uint8

const (
	inOpen    inState = iota // scanned and passed on; finishes → inDiscard, ended → inEnded
	inDiscard                // read and thrown away: the peer sent its Close or broke the protocol; ended → inEnded
	inEnded                  // the peer's stream has ended
)

// outState says what may be written to a peer. From every state broke leads to outBroken.
type outState uint8

const (
	outOpen    outState = iota // anything; closes → outClosing, defersClose → outEnding, holdsClose → outHeld, saidClose → outClosed
	outHeld                    // what the other leg still sends; our Close waits until that has ended; closes → outClosing
	outEnding                  // the rest of a message; a Close of ours is due at its end; saidClose → outClosed, closes → outClosing
	outClosing                 // a Close of ours is due at the end of a frame; saidClose → outClosed
	outClosed                  // nothing: a Close was written or is the last in the tail; rests → outResting
	outResting                 // nothing: the leg waits for the end of the peer's TCP
	outBroken                  // nothing: a write failed; the leg waits for the end of the peer's stream
)

// Values of closeIn and closeOut that are not close codes.
const (
	noCode    = 0    // there was no Close
	emptyCode = 1005 // there was a Close without a code (RFC 6455 7.1.5)
)

// held is the beginning of a header, of a control frame, or of a message that is looked at.
// It is kept until the rest comes.
type held struct {
	bytes   []byte
	between bool // bytes ends with a whole frame of a message
}

// pending holds the control frames that wait to be written to a leg. At most one pong
// waits: the latest ping wins (RFC 6455 5.5.3), so a flood of pings costs nothing.
type pending struct {
	hasPong bool
	pong    frame.ControlFrame
	pressAt heartbeat.Time // when the pong does not wait for the end of a message any more
	close   []byte         // payload of the Close, for outHeld, outEnding and outClosing

	// unread is a position in the peer's stream. What lies before it had arrived before our
	// latest ping was written. 0 means that all of it was read.
	unread uint64
}

// midFrame reports whether the bytes passed on to side, its tail included, end inside a
// frame. Our own frames must not be written there.
func (s *session) midFrame(side Side) bool {
	return s.legs[opposite(side)].scan.MidFrame()
}

// midMessage reports whether those bytes end inside a message: in a frame, or between
// two. Our own frames should not be written there.
func (s *session) midMessage(side Side) bool {
	return s.legs[opposite(side)].scan.MidMessage()
}

// insideFrame reports whether the peer is in the middle of a frame, header included.
func (g *leg) insideFrame() bool { return g.scan.MidFrame() || g.held != nil && !g.held.between }

// gap returns the gap between data frames for which our frames that are due on the leg wait,
// or frame.NoGap if none is due. texts says whether messages of ours are among them.
func (g *leg) gap(now heartbeat.Time, texts bool) frame.Gap {
	switch {
	case g.out == outEnding:
		return frame.MessageEnd
	case g.out == outClosing:
		return frame.FrameEnd
	case g.out != outOpen:
		return frame.NoGap
	case g.hasPong() && now >= g.pending.pressAt, g.wantsPing() && g.beat.Presses():
		return frame.FrameEnd
	case g.hasPong(), g.wantsPing(), texts:
		return frame.MessageEnd
	default:
		return frame.NoGap
	}
}

// closeDue reports whether a Close of ours is the next frame that we write to the leg.
func (g *leg) closeDue() bool { return g.out == outClosing || g.out == outEnding }

func (g *leg) hasPong() bool { return g.pending != nil && g.pending.hasPong }

// owesPong makes a pong to ping due. It waits for the end of a message until pressAt, or
// until the pressAt of a pong whose place it takes.
func (g *leg) owesPong(ping *frame.ControlFrame, pressAt heartbeat.Time) {
	p := g.pend()
	if !p.hasPong {
		p.pressAt = pressAt
	}
	p.hasPong, p.pong = true, *ping
}

// saidPong records that the pong was written.
func (g *leg) saidPong() {
	g.pending.hasPong = false
	g.tidy()
}

// tidy frees pending on a leg without a Close, if nothing is left in it.
func (g *leg) tidy() {
	if !g.pending.hasPong && g.pending.unread == 0 {
		g.pending = nil
	}
}

// marksUnread records where in the peer's stream the bytes begin that have not arrived
// yet. With TLS the unread bytes are ciphertext, so the mark may lie a little too far
// ahead.
func (g *leg) marksUnread() {
	unread := uint64(g.io.Unread())
	switch {
	case unread > 0 || g.held != nil:
		g.pend().unread = g.received + unread
	case g.pending != nil:
		g.pending.unread = 0
		g.tidy()
	}
}

// beganEarly reports whether a frame that begins at this position in the peer's stream
// began to arrive before our latest ping left.
func (g *leg) beganEarly(at uint64) bool { return g.pending != nil && at < g.pending.unread }

// takes reports whether bytes from the other peer may still be written to the leg.
func (g *leg) takes() bool { return g.out < outClosed }

// said reports whether a Close has been written to the leg.
func (g *leg) said() bool { return g.out == outClosed || g.out == outResting }

// wantsPing reports whether a ping is due that is not in the tail already.
func (g *leg) wantsPing() bool { return g.beat.Wanted() && !g.pingInTail() }

func (g *leg) pingInTail() bool { return g.tail != nil && g.tail.pingEnd > g.tail.from }

func (g *leg) pend() *pending {
	if g.pending == nil {
		g.pending = new(pending)
	}
	return g.pending
}

// The transitions of a leg's end. Each sets a state together with its deadline. No other
// code sets either.

// patience holds the timeouts of a session's end.
type patience struct {
	write time.Duration // in which the peer's TCP must acknowledge something while bytes wait
	close time.Duration // for the answer to a Close, and for the end of the peer's TCP
}

// open starts a leg on a connection that exists.
func (g *leg) open(io transport) { g.io, g.in, g.out, g.by = io, inOpen, outOpen, heartbeat.Never }

// silence stops what only a live session has: heartbeats, and a pong that waits. It
// clears the deadline, except that of a broken leg.
func (g *leg) silence() {
	g.beat.Stop()
	if g.pending != nil {
		g.pending.hasPong = false
	}
	if g.out != outBroken {
		g.by = heartbeat.Never
	}
}

// finishes makes the loop discard what the peer still sends.
func (g *leg) finishes() { g.in = inDiscard }

// ended records that the peer's stream has ended.
func (g *leg) ended() { g.in = inEnded }

// holdsClose keeps a Close with this payload until the other leg has finished.
func (g *leg) holdsClose(payload []byte) {
	g.out = outHeld
	g.pend().close = payload
}

// defersClose makes a Close with this payload due at the end of the message that is under
// way. It takes at most half of the time for the close, so that the Close can still be
// written at the end of a frame if the message goes on. That time begins when the tail is
// written, if there is one; a later tail does not put it off.
func (g *leg) defersClose(now heartbeat.Time, p *patience, payload []byte) {
	g.out = outEnding
	g.pend().close = payload
	if g.by = heartbeat.Never; g.tail == nil {
		g.within(now, p.close/2)
	}
}

// closes makes a Close with this payload due at the end of a frame.
func (g *leg) closes(now heartbeat.Time, p *patience, payload []byte) {
	g.out = outClosing
	g.pend().close = payload
	g.within(now, p.close)
}

// saidClose records that a Close is the last thing in the stream. If it is still in the
// tail, flushed restarts its deadline.
func (g *leg) saidClose(now heartbeat.Time, p *patience) {
	g.out = outClosed
	g.pending = nil
	g.asks(now, p.close)
}

// flushed records that the tail is written. The time of what waited behind the tail
// starts now.
func (g *leg) flushed(now heartbeat.Time, p *patience) {
	switch g.out {
	case outEnding:
		if g.by == heartbeat.Never { // else its time has begun, see defersClose
			g.within(now, p.close/2)
		}
	case outClosing:
		g.within(now, p.close)
	case outClosed:
		g.asks(now, p.close)
	case outOpen, outHeld, outResting, outBroken:
	}
}

// pauses stops the leg's clock while the leg is not read. Until resumes, by holds the
// time that was left.
func (g *leg) pauses(now heartbeat.Time) {
	g.paused = true
	if g.out != outBroken && g.by != heartbeat.Never {
		g.by -= now
	}
}

// resumes restarts the leg's clock when the leg is read again.
func (g *leg) resumes(now heartbeat.Time) {
	g.paused = false
	if g.out != outBroken && g.by != heartbeat.Never {
		g.by += now
	}
}

// till sets the deadline. On a paused leg by holds the time that is left, see pauses.
func (g *leg) till(now, by heartbeat.Time) {
	g.by = by
	if g.paused && g.out != outBroken {
		g.by -= now
	}
}

// rests waits for the end of the peer's TCP: everything was written.
func (g *leg) rests(now heartbeat.Time, p *patience) {
	g.out = outResting
	g.asks(now, p.close)
}

// broke records that a write failed. The peer may have sent a Close before, which is
// still to be read.
func (g *leg) broke(now heartbeat.Time, p *patience, why Reason) {
	g.out, g.fault = outBroken, why
	g.within(now, p.close)
}

// cut records that the descriptor is closed.
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

// marks records the position behind what was written last: the peer owes an answer once
// its TCP has acknowledged that position.
func (g *leg) marks(now heartbeat.Time) {
	if g.tail == nil && g.acked >= g.mark { // else something waits already
		g.moved = now
	}
	g.mark, g.backlog = g.written(), 0
}

// deadline returns when the leg must be looked at or given up. What waits behind a tail
// is not late, and neither is an answer that the loop leaves unread.
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
