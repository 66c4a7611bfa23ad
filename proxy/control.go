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
	noteAnswer                      // it is the pong to one of our pings
)

// decideControl returns the action for a control frame. ours says that the frame is a
// pong to one of our pings.
func decideControl(op ws.OpCode, policy PeerPings, ours bool) controlAction {
	switch {
	case op == ws.OpClose:
		return beginClose
	case op == ws.OpPong && ours:
		return noteAnswer
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
// frame on, or begins the close. control leaves the parsed frame in l.frame.
func (l *loop) control(s *session, from Side, raw []byte) controlAction {
	g := &s.legs[from]
	c := &l.frame
	frame.ParseControl(raw, c)
	var took time.Duration
	var echo heartbeat.Echo
	if c.Op == ws.OpPong {
		took, echo = g.beat.Pong(&l.rules[from], l.now, c.Payload())
	}
	action := decideControl(c.Op, l.cfg.PeerPings, echo != heartbeat.Foreign)
	switch {
	case action == answer && g.out == outOpen:
		p := g.pend()
		p.hasPong, p.pong = true, *c // take sends it after the whole read, so only the latest ping is answered
	case action == noteAnswer:
		l.noteAnswer(s, from, took, echo)
	}
	return action
}

// noteAnswer records that a peer has answered one of our pings.
func (l *loop) noteAnswer(s *session, from Side, took time.Duration, echo heartbeat.Echo) {
	g := &s.legs[from]
	l.metrics.PongReceived(from)
	if echo == heartbeat.Measured {
		l.metrics.RoundTrip(from, took)
		if g.beat.AllAnswered() {
			g.answered()
		}
	}
	if took > l.backoff {
		l.easeBackoff(g, g.io.LastACKs())
	}
	l.learn(s, from)
	l.logPong(s, from, took)
}

// learn records that a peer answers pings, for the `auto` modes.
func (l *loop) learn(s *session, side Side) {
	if side == client {
		s.learnt = true
		return
	}
	if l.rules[upstream].Pong == heartbeat.LearnPong {
		s.backend.NoteAnswer()
	}
}
