package main

import (
	"bytes"
	"time"

	"holdfast/metrics"
)

// What the proxy says at which place of the other peer's stream.

// mayHavePing checks the place of a ping of ours: inside a message it has waited for a
// quarter of the interval. It may follow a pong of ours that had to be there.
func (p *peer) mayHavePing() {
	t, k := p.talk, &p.w.plan.Knobs
	if !t.clean {
		return
	}
	if p.closing && p.w.now > p.closedAt+t.lag() {
		p.w.fails("%v %d is pinged %v after its Close", p.side, t.number, p.w.now-p.closedAt)
	}
	if !p.parser.insideMessage() {
		return
	}
	p.w.see(p.side.String() + " pinged inside a message")
	due := p.pingAt + k.Interval - k.Interval/50 // the grid of pings
	if p.pings == 0 {
		due = p.openedAt + k.Interval*9/10 - k.Interval/50
	}
	if early := due + k.Interval/4 - t.lag() - p.w.now; early > 0 && p.w.now > p.pongAt+t.lag() {
		p.w.fails("%v %d is pinged inside a message, %v too early", p.side, t.number, early)
	}
}

// pongWait is how long a pong of ours waits for the end of a message.
func (k *Knobs) pongWait() time.Duration {
	const most = 5 * time.Second
	if k.Interval == 0 {
		return most
	}
	return min(k.Interval/4, most)
}

// mayHavePong checks the same of a pong of ours. It may come before its time together with
// a ping that has to be there.
func (p *peer) mayHavePong() {
	if !p.talk.clean || p.w.plan.Knobs.Forward || !p.parser.insideMessage() || p.answered >= len(p.pingedAt) {
		return
	}
	p.w.see(p.side.String() + " answered inside a message")
	now, waited, wait := p.w.now, p.w.now-p.pingedAt[p.answered], p.w.plan.Knobs.pongWait()
	if waited >= wait {
		p.pongAt = now
		return
	}
	p.talk.later(p.talk.lag(), func() bool { return p.pings > 0 && p.pingAt >= now || p.ending() },
		"%v %d has its pong inside a message after %v, and it was to wait for %v", p.side, p.talk.number, waited, wait)
}

// drags reports whether an actor drags messages out.
func (a *Actor) drags() bool {
	for _, do := range a.Does {
		if do.Kind == Drags || do.Kind == Spells || do.Kind == Hints {
			return true
		}
	}
	return false
}

// mayBeClosed checks when a peer gets its Close.
func (p *peer) mayBeClosed(payload []byte) {
	t, o := p.talk, p.other
	if len(payload) < 2 {
		return
	}
	if text := string(payload[2:]); text == "idle timeout" && t.prompt && p.received() < len(o.sent) && o.saidAt+t.lag() < p.w.now {
		p.w.fails("session %d ends as idle, and what the %v said %v before was not read", t.number, o.side, p.w.now-o.saidAt)
	}
	switch code := int(payload[0])<<8 | int(payload[1]); code {
	case 1002, 1007, 1009:
		if p.violated && t.clean && t.w.plan.Knobs.Close >= 10*time.Second && o.brokeAt == never && !o.closing && !o.ended && !o.gone() && !t.stops() {
			p.w.fails("%v %d has broken the protocol, and is told before the other side has finished", p.side, t.number)
		}
	}
}

// wantsLastWord: a Close that has arrived is passed on, although a reset follows it.
func (t *talk) wantsLastWord() {
	for _, p := range []*peer{t.client, t.service} {
		o := p.other
		if !p.lastWord || !t.prompt || o.brokeAt != never || !o.hasClose {
			continue
		}
		t.w.see(p.side.String() + " has its last word")
		if e := t.ended; e != nil && !e.Closed && e.Side == p.side && e.Reason != metrics.CloseTimeout && string(o.gotClose) != string(*p.closePayload) {
			t.w.fails("%v %d has closed its session, and the other side gets %s", p.side, t.number, controlName(opClose, o.gotClose))
		}
	}
}

// heapFrame is how many bytes a frame of a heap has. Heaps begin where the stream's length
// is a multiple of it, so that a read can end with a frame.
const heapFrame = 64

// heapsMost is how many bytes a peer sends at the most before it sends no more heaps: they
// would be most of what a run costs.
const heapsMost = 1 << 20

// heaps sends many small frames: what follows them is far behind in what the proxy reads.
// Small heaps are pings, large ones are messages.
func (p *peer) heaps() {
	if p.plan.Heap == 0 || p.wrote > heapsMost || p.silent() || p.waitsFor(Says) > 0 || p.hurries || p.appl.dull {
		return
	}
	p.aligns()
	if p.plan.Heap < 4096 {
		var all []byte
		for range p.plan.Heap / 8 {
			payload := p.heapPing()
			p.asks(payload)
			all = append(all, p.frame(0x80|opPing, payload)...)
		}
		p.writes(all)
		p.awaitsPong()
		return
	}
	p.says(bytes.Repeat(p.frame(0x80|opBinary, p.payload(heapFrame-p.header())), p.plan.Heap/heapFrame))
}

// heapPing is a payload with which a ping has 8 bytes.
func (p *peer) heapPing() []byte {
	n := len(p.pinged)
	return []byte{byte(n >> 8), byte(n), 'h', 'e', 'a', 'p'}[:8-p.header()]
}

// header is how many bytes come before a short payload.
func (p *peer) header() int {
	if p.side == client {
		return 6
	}
	return 2
}

// aligns sends a ping that makes the stream's length a multiple of heapFrame.
func (p *peer) aligns() {
	size := heapFrame - p.wrote%heapFrame
	if size == heapFrame {
		return
	}
	for size-p.header() < 4 || size-p.header() == ownPing {
		size += heapFrame
	}
	p.ping(append(p.pingPayload('a'), make([]byte, size-p.header()-4)...))
}
