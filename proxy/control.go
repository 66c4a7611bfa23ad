package proxy

import (
	"time"

	"github.com/gobwas/ws"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/frame"
)

// controlAction says what is done with a control frame from a peer.
type controlAction uint8

const (
	swallow    controlAction = iota // it is dropped
	answer                          // a pong goes back to the peer
	pass                            // it goes to the other leg unchanged
	beginClose                      // it is a Close, the peer's last frame
)

// decideControl returns the action for a control frame. ours says that the frame is a
// pong that echoes one of our pings. A pong that answers our ping without an echo may be
// meant for the other peer as well, so it is not ours alone.
func decideControl(op ws.OpCode, policy PeerPings, ours bool) controlAction {
	switch {
	case op == ws.OpClose:
		return beginClose
	case op == ws.OpPong && ours:
		return swallow
	case policy == ForwardPings:
		return pass
	case op == ws.OpPing:
		return answer
	default: // an unsolicited pong is a one-way heartbeat (RFC 6455 5.5.3), and its receipt is enough
		return swallow
	}
}

// control decides on a control frame that was cut out of a leg's stream, and does what
// concerns that leg alone. The caller does what concerns the other leg: it passes the
// frame on, or begins the close. control leaves the parsed frame in l.frame. at is the
// position of the frame's first byte in the peer's stream.
func (l *loop) control(s *session, from Side, raw []byte, at uint64) controlAction {
	g := &s.legs[from]
	c := &l.frame
	frame.ParseControl(raw, c)
	var pong heartbeat.Answer
	if c.Op == ws.OpPong {
		pong = g.beat.Pong(&l.rules[from], l.now, c.Payload(), g.beganEarly(at))
		l.noteAnswer(s, from, pong)
	}
	action := decideControl(c.Op, l.cfg.PeerPings, pong.Echo)
	if action == answer && g.out == outOpen {
		g.owesPong(c, l.now.Add(pongWait(&l.rules[from]))) // take sends it after the whole read, so only the latest ping is answered
	}
	return action
}

// noteAnswer records what a pong says about our pings.
func (l *loop) noteAnswer(s *session, from Side, pong heartbeat.Answer) {
	if !pong.Counts {
		return
	}
	g := &s.legs[from]
	l.metrics.PongReceived(from)
	if pong.Measured {
		l.metrics.RoundTrip(from, pong.Took)
	}
	if pong.Measured && g.beat.AllEchoed() && g.out <= outHeld { // mark is not our Close
		g.answered()
	}
	if pong.Took > l.backoff {
		l.easeBackoff(g, g.io.LastACKs())
	}
	l.learn(s, from)
	l.logPong(s, from, pong)
}

// longestPongWait bounds how long a pong waits for the end of a message. The peer's own
// timeout is not known, and may be short.
const longestPongWait = 5 * time.Second

// pongWait returns how long a pong of ours waits for the end of a message: as long as a
// ping of ours does, but at most longestPongWait. On a leg without pings it is
// longestPongWait.
func pongWait(r *heartbeat.Rules) time.Duration {
	if r.Interval == 0 {
		return longestPongWait
	}
	return min(r.MessageWait(), longestPongWait)
}

// learn records that a peer answers pings, for the `auto` modes.
func (l *loop) learn(s *session, side Side) {
	if side == client {
		s.learnt = true
		return
	}
	if l.rules[upstream].Pong == heartbeat.LearnPong {
		s.target.NoteAnswer()
	}
}
