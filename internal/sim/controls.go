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
		if p.plan.Mute {
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
	p.pongs(payload, len(payload) == ownPing)
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
	p.pinged = append(p.pinged, payload)
	p.writes(p.frame(0x80|opPing, payload))
	p.awaitsPong()
}

// crowd sends many pings at once.
func (p *peer) crowd() {
	if p.silent() {
		return
	}
	var all []byte
	for i := range 200 {
		payload := []byte{'c', byte(i)}
		p.pinged = append(p.pinged, payload)
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
	p.hasClose, p.gotClose = true, payload
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
