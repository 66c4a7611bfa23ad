package main

import (
	"bytes"
	"slices"
	"time"
)

// control handles a control frame.
func (p *peer) control(op byte, payload []byte) {
	if p.w.told() {
		p.tells("<- %s", controlName(op, payload))
	}
	switch op {
	case opPing:
		p.isPinged(bytes.Clone(payload))
	case opPong:
		p.isAnswered(payload)
	case opClose:
		p.isClosed(bytes.Clone(payload))
	}
}

// ownPing is how many bytes a ping of the proxy's has. Peers send shorter ones.
const ownPing = 8

// isPinged: the pong follows after a while, if the peer still lives.
func (p *peer) isPinged(payload []byte) {
	if own := len(payload) == ownPing; !own {
		p.isPassed(0, p.other.pinged, payload)
	} else {
		p.hasPing()
		p.kept = append(p.kept, payload)
		if p.plan.Reply == Mute {
			return
		}
	}
	p.asked = append(p.asked, payload)
	p.w.after(p.plan.Answers, p.answersPing)
}

func (p *peer) answersPing() {
	switch {
	case p.gone() || p.closing || len(p.asked) == 0:
		return
	case p.frozen == never:
		return
	case p.frozen > p.w.now:
		p.w.after(p.frozen-p.w.now, p.answersPing)
		return
	case len(p.rest) > 0: // in the middle of a frame
		p.w.after(100*time.Millisecond, p.answersPing)
		return
	}
	payload := p.asked[0]
	p.asked = p.asked[1:]
	p.tells("answers ping %q", payload)
	if len(payload) != ownPing {
		p.pongs(payload, false)
		return
	}
	p.heaps()
	p.replies(payload)
	if p.plan.Heap > 0 && !p.silent() {
		p.aligns() // the proxy's next read begins where a frame does
	}
}

// replies shows the proxy that the peer lives.
func (p *peer) replies(payload []byte) {
	switch p.plan.Reply {
	case Bare:
		p.pongs(nil, false)
		return
	case Talks:
		if p.waitsFor(Says) == 0 && !p.hurries && !p.appl.dull {
			p.message(40)
			return
		}
	default: // by a pong
	}
	p.pongs(payload, true)
}

// pongs sends a pong, to the proxy or to the other peer.
func (p *peer) pongs(payload []byte, toProxy bool) {
	if p.silent() {
		return
	}
	if !toProxy {
		p.ponged = append(p.ponged, payload)
	}
	p.writes(p.frame(0x80|opPong, payload))
}

func (p *peer) ping(payload []byte) {
	if p.silent() {
		return
	}
	p.asks(payload)
	p.writes(p.frame(0x80|opPing, payload))
	p.awaitsPong()
}

// asks notes a ping that the peer sends.
func (p *peer) asks(payload []byte) {
	p.pinged = append(p.pinged, payload)
	p.pingedAt = append(p.pingedAt, p.w.now)
}

// pingPayload is that of the peer's next ping. No two are the same.
func (p *peer) pingPayload(kind byte) []byte {
	n := len(p.pinged)
	return []byte{kind, byte(n >> 16), byte(n >> 8), byte(n)}
}

// crowd sends many pings at once.
func (p *peer) crowd() {
	if p.silent() {
		return
	}
	var all []byte
	for range 200 {
		payload := p.pingPayload('c')
		p.asks(payload)
		all = append(all, p.frame(0x80|opPing, payload)...)
	}
	p.writes(all)
	p.awaitsPong()
}

// silent reports whether a peer can send no frame any more.
func (p *peer) silent() bool { return p.closing || p.writeEnd || p.gone() }

// isPassed holds a ping (0) or a pong (1) against those that the other peer has sent: they
// come in order.
func (p *peer) isPassed(kind int, sent [][]byte, payload []byte) {
	if kind == 1 && (!p.talk.clean || p.ending() || p.other.ending()) && contains(p.other.kept, payload) {
		return // the proxy remembers four pings, and none that leaves with a Close: answers to others pass as pongs of the peer's own
	}
	i := p.passed[kind]
	if !p.w.plan.Knobs.Forward || i >= len(sent) || !bytes.Equal(sent[i], payload) {
		p.w.fails("%v %d gets %q, which nobody has sent to it now", p.side, p.talk.number, payload)
		return
	}
	p.passed[kind]++
}

func contains(all [][]byte, one []byte) bool {
	return slices.ContainsFunc(all, func(b []byte) bool { return bytes.Equal(b, one) })
}

// isAnswered: a pong is the answer to a ping of the peer's own, or one that is passed on.
func (p *peer) isAnswered(payload []byte) {
	p.mayHavePong()
	if p.w.plan.Knobs.Forward {
		p.isPassed(1, p.other.ponged, payload)
		return
	}
	for i := len(p.pinged) - 1; i >= 0; i-- {
		if bytes.Equal(p.pinged[i], payload) {
			p.answered = max(p.answered, i+1)
			return
		}
	}
	p.w.fails("%v %d gets a pong %q that it has not asked for", p.side, p.talk.number, payload)
}

// isClosed: the answer follows after a while, and then the end of TCP.
func (p *peer) isClosed(payload []byte) {
	p.hasClose, p.gotClose, p.toldAt = true, payload, p.w.now
	p.mayBeClosed(payload)
	p.wantsEnd()
	p.w.see(p.side.String() + " is closed")
	if len(payload) >= 2 {
		switch code := int(payload[0])<<8 | int(payload[1]); {
		case code == 1005 || code == 1006 || code == 1015 || code < 1000:
			p.w.fails("%v %d gets Close %d, which may not be sent", p.side, p.talk.number, code)
		}
	}
	p.w.after(p.plan.Answers, p.answersClose)
}

func (p *peer) answersClose() {
	switch {
	case p.gone() || p.frozen == never:
		return
	case p.frozen > p.w.now:
		p.w.after(p.frozen-p.w.now, p.answersClose)
		return
	case len(p.rest) > 0:
		p.hurries = true
		p.w.after(100*time.Millisecond, p.answersClose)
		return
	}
	if !p.closing {
		p.closes(p.gotClose)
	}
	if p.side == service { // RFC 6455 7.1.1: the server ends TCP first
		p.halvesWhenWritten()
		return
	}
	p.awaitsEnd()
}
