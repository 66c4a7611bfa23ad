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

// control acts on a control frame that was cut out of a leg's stream.
func (l *loop) control(s *session, from Side, raw []byte) {
	g := &s.legs[from]
	c := &l.frame
	frame.ParseControl(raw, c)
	var rtt time.Duration
	var ours bool
	if c.Op == ws.OpPong {
		rtt, ours = g.beat.Pong(&l.rules[from], l.now, c.Payload())
	}
	switch decideControl(c.Op, l.cfg.PeerPings, ours) {
	case swallow:
	case answer:
		if g.out == outOpen {
			p := g.pend()
			p.hasPong, p.pong = true, *c
			l.flush(s, from)
		}
	case pass:
		l.send(s, opposite(from), raw)
	case beginClose:
		l.closeReceived(s, from, raw, c)
	case noteAnswer:
		l.metrics.PongReceived(from, rtt)
		l.learn(s, from)
		l.logPong(s, from, rtt)
	}
}

// learn notes that a peer answers pings, for the `auto` modes.
func (l *loop) learn(s *session, side Side) {
	if side == client {
		s.legs[client].learnt = true
		return
	}
	if l.rules[upstream].Pong == heartbeat.LearnPong && !s.origin.answersPings.Load() && s.origin.answersPings.CompareAndSwap(false, true) {
		l.log.Info("upstream answers pings: its keepalive deadline holds from now on", "upstream", s.origin.name)
	}
}
