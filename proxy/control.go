package proxy

import (
	"time"

	"github.com/gobwas/ws"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/frame"
)

// controlAction is what becomes of a control frame from a peer.
type controlAction uint8

const (
	swallow    controlAction = iota // nothing
	answer                          // a pong goes back to the peer
	pass                            // it goes to the other side as it is
	beginClose                      // it is a Close, and the peer's last frame
	noteAnswer                      // it is the pong to a ping of ours
)

// decideControl says what an intercepted control frame means. ours: the frame
// is a pong that echoes a ping of ours.
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
	default: // RFC 6455 5.5.3: an unsolicited pong is a one-way heartbeat; it has done its work here
		return swallow
	}
}

// control decides on a control frame that was cut out of a leg's stream, and acts
// on it as far as it concerns that leg alone. What concerns the other leg, to pass
// it and to begin the close, is the caller's. l.frame is the frame taken apart.
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
		p.hasPong, p.pong = true, *c // it is sent when all of the read is through: only the latest is answered
	case action == noteAnswer:
		l.noteAnswer(s, from, took, echo)
	}
	return action
}

// noteAnswer notes that a peer has answered a ping of ours.
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

// learn notes that a peer answers pings, for the `auto` modes.
func (l *loop) learn(s *session, side Side) {
	if side == client {
		s.learnt = true
		return
	}
	if l.rules[upstream].Pong == heartbeat.LearnPong {
		s.backend.NoteAnswer()
	}
}
