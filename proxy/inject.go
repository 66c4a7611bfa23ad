package proxy

import (
	"github.com/gobwas/ws"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/frame"
)

// flush writes our frames that are due on a leg, if they may be written now: at a gap
// between data frames, and without a tail. Otherwise they wait until take or writable
// comes to such a point, or until they do not wait for the end of a message any more.
func (l *loop) flush(s *session, side Side) {
	g := &s.legs[side]
	gap := g.gap(l.now, l.hasTexts(s, side))
	switch {
	case gap == frame.NoGap || g.tail != nil:
	case s.legs[opposite(side)].scan.At(gap):
		l.inject(s, side)
	case gap == frame.MessageEnd && g.beat.Wanted():
		g.beat.Defer(&l.rules[side])
	}
}

// inject writes our frames that are due on a leg, whose stream is at a gap for them.
// While a chunk is being passed on, they may go into the leg's tail, between the chunk's
// frames.
func (l *loop) inject(s *session, side Side) {
	g := &s.legs[side]
	if g.closeDue() {
		l.injectClose(s, side)
		return
	}
	if g.hasPong() {
		l.sendControl(s, side, ws.OpPong, g.pending.pong.Payload())
		l.metrics.PingAnswered(side)
		g.saidPong()
	}
	if g.out == outOpen && g.wantsPing() {
		l.injectPing(s, side)
	}
	if l.hasTexts(s, side) && !s.midMessage(side) {
		l.injectTexts(s, side)
	}
}

func (l *loop) injectClose(s *session, side Side) {
	g := &s.legs[side]
	g.parting = g.partsWithClose(side)
	if l.sendControl(s, side, ws.OpClose, g.pending.close) != lost {
		g.saidClose(l.now, &l.patience)
	}
}

// injectPing writes a ping. The ping counts as sent when its last byte is in the kernel:
// at once, or when the tail has been written that far.
func (l *loop) injectPing(s *session, side Side) {
	g := &s.legs[side]
	queued := g.tail != nil || l.sampleQueue(g)
	l.marksUnread(s, side)
	payload := l.random.Uint64()
	var buf [8]byte
	switch l.sendControl(s, side, ws.OpPing, heartbeat.AppendPayload(buf[:0], payload)) {
	case gone:
		l.pinged(s, side, payload, queued)
	case kept:
		g.tail.pingEnd, g.tail.ping = g.tail.to, payload
	case lost:
	}
}

// pinged records that a ping was written. It reads the clock again: the process may have
// been stopped since the turn began, for longer than the pong may take. queued says that
// the kernel has other bytes to send before the ping.
func (l *loop) pinged(s *session, side Side, payload uint64, queued bool) {
	g := &s.legs[side]
	if s.cause.kind != live {
		return
	}
	l.metrics.PingSent(side)
	now := l.clock()
	l.metrics.PingLag(max(0, now.Sub(g.beat.Due()))) // a ping that was early, or deferred and not late, has no lag
	g.beat.Sent(&l.rules[side], now, payload, l.answersPings(s, side), queued)
	g.marks(now)
	l.logPing(s, side)
}

// marksUnread is called before a ping is written. If any pong may answer the ping, it
// records what has arrived by now: that does not follow the ping. After the write it would
// be too late, because a peer on this machine may have answered already.
func (l *loop) marksUnread(s *session, side Side) {
	g := &s.legs[side]
	if s.cause.kind == live && l.rules[side].Liveness == heartbeat.AnyByte && !g.beat.Echoes() {
		g.marksUnread()
	}
}

// answersPings reports whether the peer is known to answer pings, for the `auto` modes. A
// client shows it for its own session, a target for all of its sessions.
func (l *loop) answersPings(s *session, side Side) bool {
	if side == upstream {
		return s.target.AnswersPings()
	}
	return s.learnt
}

// sendControl writes a control frame of ours. Towards the upstream we are the client, so
// the frame is masked (RFC 6455 5.1).
func (l *loop) sendControl(s *session, side Side, op ws.OpCode, payload []byte) sending {
	if side == upstream {
		return l.send(s, side, frame.AppendMaskedControl(l.own[:0], op, payload, l.random.Mask()))
	}
	return l.send(s, side, frame.AppendControl(l.own[:0], op, payload))
}
