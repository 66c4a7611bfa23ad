package proxy

import (
	"holdfast/metrics"
	"holdfast/proxy/internal/frame"
)

// Reason says why a session was dropped.
type Reason = metrics.Reason

// A cause says how a session ends. The first cause is latched: what happens later in a
// session that is ending changes neither side nor reason.
type cause struct {
	kind   endKind
	side   Side      // closing, closed: the peer that began; dropped: the side at fault
	reason Reason    // dropped; live: the reason of the end that comes at until
	alone  bool      // dropped for a drain: of the session's upstream, and not of the proxy
	waste  [2]uint16 // KiB that came on each leg and were dropped, see wasted
	detail *string   // dropped: for the log, in our own words; nil: there is nothing more to say
}

// endKind is how far a session's end has come.
type endKind uint8

const (
	live    endKind = iota // → closing, dropped
	closing                // a peer's Close was passed on, and its answer is awaited; → closed, dropped
	closed                 // both peers' Closes were passed on
	dropped                // every other end
)

// closeReceived handles a peer's Close. What the peer sends after it does not matter (RFC
// 6455 5.5.1).
func (l *loop) closeReceived(s *session, from Side, raw []byte, c *frame.ControlFrame) {
	g := &s.legs[from]
	g.finishes()
	g.closeIn = closeCode(c)
	l.metrics.CloseReceived(from, loggedCode(g.closeIn))
	switch {
	case s.cause.kind == live:
		l.latch(s, cause{kind: closing, side: from})
		l.passClose(s, opposite(from), raw, g.closeIn)
	case s.cause.kind == closing && from != s.cause.side:
		s.cause.kind = closed
		l.passClose(s, opposite(from), raw, g.closeIn)
	default: // the answer to a Close of ours: it is not passed on
	}
	l.settle(s)
}

// passClose passes a peer's Close on verbatim.
func (l *loop) passClose(s *session, to Side, raw []byte, code uint16) {
	g := &s.legs[to]
	if !g.takes() {
		return
	}
	g.parting = g.partsWithClose(to)
	if l.send(s, to, raw) != lost {
		g.closeOut = code
		g.saidClose(l.now, &l.patience)
	}
}

// closeCode returns the code of a received Close as leg.closeIn keeps it.
func closeCode(c *frame.ControlFrame) uint16 {
	if code, ok := c.CloseCode(); ok {
		return uint16(code)
	}
	return emptyCode
}

// violated ends a session whose peer broke the protocol (RFC 6455). The peer's valid
// frames have been delivered. The other leg is told first, and what its peer still sends
// is passed on. So the offender receives the answers to its valid frames before its own
// Close, as from a server without a proxy.
//
// detail says for the log how the rule v was broken.
func (l *loop) violated(s *session, from Side, v *frame.Violation, detail string) {
	reason := metrics.ProtocolError
	if v.OfLimit() {
		reason = metrics.TooBig
	}
	s.legs[from].finishes()
	if s.cause.kind != live {
		l.unanswered(s, from, reason, detail+", instead of an answer to the other side's Close")
		return
	}
	l.drop(s, cause{side: from, reason: reason, detail: new(detail)}, v)
}

// lost handles the end of a peer's TCP, or a read that failed.
func (l *loop) lost(s *session, side Side, err error) {
	g := &s.legs[side]
	reason, detail := lostReason(err), err.Error()
	if g.out == outBroken { // the write failed first, and its error says more than the end does
		reason, detail = g.fault, "a write failed"
	}
	g.ended()
	if reason != metrics.EOF {
		l.broke(s, side, reason)
	}
	if s.cause.kind == live {
		l.drop(s, cause{side: side, reason: reason, detail: new(detail)}, nil)
		return
	}
	if reason == metrics.EOF {
		l.unanswered(s, side, reason, noAnswer)
	} else {
		l.unanswered(s, side, reason, noAnswer+": "+detail)
	}
}

// noAnswer is the detail of a session whose second Close did not come.
const noAnswer = "no answer to the other side's Close"

// unanswered records that a peer will not answer any more. If a Close of the other peer
// waits for the answer, that peer receives its own code back (RFC 6455 5.5.1), and the
// session counts as dropped, with detail.
func (l *loop) unanswered(s *session, side Side, reason Reason, detail string) {
	if s.cause.kind == closing && side != s.cause.side {
		s.cause = cause{kind: dropped, side: side, reason: reason, detail: new(detail)}
		l.cut(s, side)
		beginner := &s.legs[opposite(side)]
		l.say(s, opposite(side), farewell{how: tell, code: beginner.closeIn})
	}
	l.settle(s)
}

// end drops a live session for a reason that needs no detail.
func (l *loop) end(s *session, side Side, reason Reason) {
	l.drop(s, cause{side: side, reason: reason}, nil)
}

// internal ends a session or a handshake because of a fault of the proxy's own.
func (l *loop) internal(s *session, err error) {
	l.log.Error("internal error", idAttr(s.id), "error", err)
	if s.opening != nil {
		l.abandon(s, metrics.ResultInternal, "handshake", err)
		return
	}
	l.drop(s, cause{side: proxy, reason: metrics.Internal, detail: new(err.Error())}, nil)
}

// unwatched ends a session after the poller has refused one of its legs. The leg is
// closed at once, because only closing removes it from the poller. A close handshake
// cannot be completed then: the peer that began it gets its own code back. Neither is it
// completed if the second Close was still in the leg's tail.
func (l *loop) unwatched(s *session, side Side, err error) {
	l.internal(s, err)
	if !l.table.holds(s) {
		return
	}
	beginner, lost := s.cause.side, s.legs[side].tail != nil
	if s.cause.kind == closing || s.cause.kind == closed && lost {
		s.cause = cause{kind: dropped, side: proxy, reason: metrics.Internal, detail: new(err.Error())}
		if side != beginner {
			l.say(s, beginner, farewell{how: tell, code: s.legs[beginner].closeIn})
		}
	}
	l.cut(s, side)
	l.settle(s)
}

// drop ends a live session with c and tells both legs. broken is the rule that a peer
// broke; nil if none was. It is the only way from live to dropped.
func (l *loop) drop(s *session, c cause, broken *frame.Violation) {
	if s.cause.kind != live {
		return
	}
	c.kind = dropped
	l.latch(s, c)
	told := farewells(c, l.cfg.CloseCodes, broken)
	for _, side := range sides {
		l.say(s, side, told[side])
	}
	l.settle(s)
}

// endsWithin bounds the end of a session in total, in WRITE_TIMEOUTs. A leg is given time
// as long as its peer's TCP acknowledges bytes, but that TCP may acknowledge only one now
// and then.
const endsWithin = 10

// latch sets how the session ends, and stops its heartbeats, limits and silences. From here on
// until is the time at which what is left of the session is cut. So no wait is without a
// deadline.
func (l *loop) latch(s *session, c cause) {
	s.cause = c
	s.stopsSilences(l.now)
	s.until = l.now.Add(endsWithin*l.patience.write + l.patience.close)
	for i := range s.legs {
		s.legs[i].silence()
	}
	l.silenceApps(s)
}

// settle moves a session that is ending as far as it can go now. It may be called at any
// time. It finishes the session when both legs are closed.
func (l *loop) settle(s *session) {
	if s.cause.kind == live {
		return
	}
	for range sides { // twice: a step of the second leg may be what the first waits for
		for _, side := range sides {
			l.settleLeg(s, side)
		}
	}
	if s.legs[client].io == nil && s.legs[upstream].io == nil {
		l.finish(s)
	}
}

// settleLeg moves one leg on: its Close is written, then it rests, then it is closed.
func (l *loop) settleLeg(s *session, side Side) {
	g, otherOpen := &s.legs[side], s.legs[opposite(side)].in == inOpen
	if g.io == nil {
		return
	}
	if (g.out == outHeld || g.out == outEnding) && !otherOpen {
		g.closes(l.now, &l.patience, g.pending.close)
	}
	if g.closeDue() {
		if s.midFrame(side) && !otherOpen {
			l.cut(s, side) // the frame will never be completed, and a Close must not be written inside it
			return
		}
		l.flush(s, side)
	}
	switch {
	case !g.finished():
	case g.in == inEnded:
		l.cut(s, side)
	case g.out == outClosed:
		l.rest(g, side)
	}
}

// finished reports whether everything has been written to the leg and read from it.
func (g *leg) finished() bool { return !g.takes() && g.tail == nil && g.in != inOpen }

// partsWithClose reports whether a Close is the last that is written to the leg before
// rest ends our direction.
func (g *leg) partsWithClose(side Side) bool { return side == client && g.in != inOpen }

// rest waits for the end of the peer's TCP. The server ends TCP first (RFC 6455 7.1.1).
// Towards the client we are the server: rest ends our direction, and what still comes is
// read, because closing with unread input sends a reset that can destroy the Close.
// Towards the upstream we are the client, and wait.
func (l *loop) rest(g *leg, side Side) {
	g.rests(l.now, &l.patience)
	if side == client {
		_ = g.io.CloseWrite() // it fails only if the connection has ended, which the next read shows
	}
}

// cut closes a leg's connection.
func (l *loop) cut(s *session, side Side) {
	g := &s.legs[side]
	if g.io == nil {
		return
	}
	l.dropTail(g, side)
	conn := g.io
	g.cut() // before Close, which closes the descriptor even if it panics
	defer l.frees(s, side)
	if err := conn.Close(); err != nil {
		l.log.Error("close", idAttr(s.id), "side", side, "error", err)
	}
}

// frees gives back what a leg was counted for whose connection is closed: the client's
// seat, or the permit of an open session. A handshake keeps its permit, because it may try
// another address.
func (l *loop) frees(s *session, side Side) {
	switch {
	case side == client:
		l.rise(s)
	case s.opening == nil:
		l.server.permits.give()
	}
}

// overdue handles the deadlines of a session that is ending.
func (l *loop) overdue(s *session) {
	unread := false
	for _, side := range sides {
		g := &s.legs[side]
		if g.io == nil || l.now < min(g.deadline(), s.until) {
			continue
		}
		l.retry(s, side)
		if !l.table.holds(s) {
			return
		}
		switch {
		case l.measureBacklog(s, side, &g.backlog):
			unread = true
		case g.out == outEnding && g.tail == nil && l.now >= g.deadline():
			g.closes(l.now, &l.patience, g.pending.close) // the message goes on: its end is not waited for
		case g.io != nil && l.now >= g.deadline() && l.judgeEnding(g) && !l.lastWord(s, side):
			l.giveUp(s, side)
		}
	}
	if l.now >= s.until && !unread {
		l.giveAllUp(s)
	}
	l.settle(s)
}

// giveAllUp cuts both legs of a session whose end has taken too long in total.
func (l *loop) giveAllUp(s *session) {
	for _, side := range sides {
		l.giveUp(s, side)
	}
	for _, side := range sides {
		l.cut(s, side)
	}
}

// judgeEnding looks at a leg of an ending session whose deadline has passed. If the
// peer's TCP has acknowledged something new, the deadline moves. over means that it has
// not.
func (l *loop) judgeEnding(g *leg) (over bool) {
	if g.tail != nil {
		return l.judgeTail(g)
	}
	g.by, over = g.wait.Look(g.by, l.now, l.patience.close, l.delivery(g, g.mark, l.patience.close, l.patience.write))
	return over
}

// retry tries a leg's socket once more before the leg is given up.
func (l *loop) retry(s *session, side Side) {
	if s.legs[side].tail != nil {
		l.writable(s, side)
	}
	if s.legs[side].io != nil && !s.legs[side].paused && !l.slowed(s, side) {
		l.readable(s, side)
	}
}

// giveUp ends the wait for a leg whose deadline has passed.
func (l *loop) giveUp(s *session, side Side) {
	stuck := s.legs[side].tail != nil
	switch {
	case s.cause.kind != closing:
		l.cut(s, side)
	case side == s.cause.side && stuck: // the other peer's answer may be unread, and can be read without this leg
		s.cause = cause{kind: dropped, side: side, reason: metrics.WriteTimeout, detail: new("took nothing while its Close waited for an answer")}
		l.cut(s, side)
	case side == s.cause.side:
		l.cut(s, side)
	case stuck:
		l.unanswered(s, side, metrics.WriteTimeout, noAnswer)
	default:
		l.unanswered(s, side, metrics.CloseTimeout, noAnswer)
	}
}

// finish is the one exit of an open session: its connections are closed, the session is
// counted and logged once, and its slot is freed, even if the log or Config.Ended panics.
func (l *loop) finish(s *session) {
	if !l.table.holds(s) {
		return
	}
	defer l.release(s)
	for _, side := range sides {
		l.pause(s, side, false)
	}
	if s.cause.kind == closing { // whatever ends the leg that owes the answer must change the cause
		l.log.Error("a session ended without a cause", idAttr(s.id))
		s.cause = cause{kind: dropped, side: proxy, reason: metrics.Internal}
	}
	e := l.ended(s)
	if e.Closed {
		l.metrics.Closed(e.Side)
	} else {
		l.metrics.Dropped(e.Side, e.Reason)
		if e.Side == upstream {
			s.target.Counts().Dropped(e.Reason)
		}
	}
	s.target.Sessions(-1)
	s.target.Leave()
	l.metrics.SessionDuration(e.Duration)
	l.logEnd(&e)
	if l.cfg.Ended != nil {
		told := e // a copy: e itself stays off the heap where nobody is told
		l.cfg.Ended(&told)
	}
}

// Bounds on what a peer may send after the end of its session began, in KiB. All of it is
// dropped.
const (
	wasteStep = 1 << 10 // the bounds are checked once in so many KiB
	// lastWordMax is for a peer that has sent its own Close, and must send nothing after
	// it.
	lastWordMax = 1 << 10
	// toldMax is for a peer whose TCP has acknowledged our Close. Its program may have
	// queued some megabytes before it reads the Close.
	toldMax = 16 << 10
	// untoldMax is for a peer whose TCP has not acknowledged our Close, or that receives
	// its Close last.
	untoldMax = 1<<16 - 1
)

// wasted counts n bytes that came on a leg and were dropped, because the session is
// ending or the other leg is broken. A flood of them ends the leg.
func (l *loop) wasted(s *session, from Side, n int) {
	g, waste := &s.legs[from], &s.cause.waste[from]
	before := *waste
	*waste = uint16(min(int(before)+(n+1<<10-1)>>10, untoldMax))
	if g.io == nil || *waste/wasteStep == before/wasteStep && *waste < untoldMax {
		return
	}
	switch {
	case s.cause.kind == live: // the other leg is broken: its end is not waited for any more
		l.lost(s, opposite(from), errUnread)
	case g.closeIn != noCode && *waste >= lastWordMax, g.told && *waste >= toldMax, *waste >= untoldMax:
		l.flooded(s, from)
	case !g.told && g.said() && l.delivery(g, g.mark, 0, 0).Arrived:
		g.told, *waste = true, 0
	}
}

// flooded cuts a leg whose peer goes on sending. Its input is unread, so the peer gets a
// reset.
func (l *loop) flooded(s *session, from Side) {
	if s.cause.kind == closing && from != s.cause.side {
		l.unanswered(s, from, metrics.CloseTimeout, noAnswer)
		return
	}
	l.cut(s, from)
	l.settle(s)
}
