package proxy

import (
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
	shut     bool           // everything is said; only the end of the peer's TCP is awaited
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
	moved heartbeat.Time // when acked last moved

	frames         uint64 // data frames received
	received, sent uint64 // bytes
}

// inState is what becomes of bytes from a peer.
type inState uint8

const (
	inOpen    inState = iota // scanned and passed on; → inDiscard, inEnded
	inDiscard                // read and thrown away: the peer sent its Close or broke the protocol; → inEnded
	inEnded                  // the peer's stream has ended
)

// outState is what may be written to a peer.
type outState uint8

const (
	outOpen    outState = iota // anything; → outClosing, outClosed, outBroken
	outClosing                 // a Close of ours is due at the next frame boundary; → outClosed, outBroken
	outClosed                  // a Close has been written or stands last in the tail; → outBroken
	outBroken                  // the socket takes nothing more
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

// wantsPing reports whether a ping is due that does not stand in the tail already.
func (g *leg) wantsPing() bool { return g.beat.Wanted() && !g.pingInTail() }

func (g *leg) pingInTail() bool { return g.tail != nil && g.tail.pingEnd > g.tail.from }

func (g *leg) pend() *pending {
	if g.pending == nil {
		g.pending = new(pending)
	}
	return g.pending
}
