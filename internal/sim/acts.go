package main

import (
	"bytes"
	"time"
)

// opens: the handshake is over for the peer, and it begins to act.
func (p *peer) opens() {
	p.open, p.openedAt = true, p.w.now
	p.acts(0)
}

// saysEarly sends a message before the peer can know that the session is open.
func (p *peer) saysEarly() {
	p.w.see(p.side.String() + " early")
	p.w.after(max(0, p.headOut-p.w.now), p.early)
}

func (p *peer) early() {
	if len(p.rest) > 0 {
		p.w.after(100*time.Millisecond, p.early)
		return
	}
	p.says(p.frame(0x80|opText, []byte("early")))
}

// acts does the peer's i-th action when its time has come, and then the next.
func (p *peer) acts(i int) {
	if i == len(p.plan.Does) {
		return
	}
	a := p.plan.Does[i]
	p.w.after(a.After, func() {
		if p.frozen > p.w.now && p.frozen != never {
			p.w.after(p.frozen-p.w.now, func() { p.act(a); p.acts(i + 1) })
			return
		}
		p.act(a)
		p.acts(i + 1)
	})
}

func (p *peer) act(a Action) {
	if p.gone() || p.frozen == never || p.w.calm {
		return
	}
	if p.unended && isMessage(a.Kind) {
		return
	}
	if wait := p.waitsFor(a.Kind); wait > 0 {
		p.w.after(wait, func() { p.act(a) })
		return
	}
	p.w.see(p.side.String() + " act " + a.Kind.String())
	p.tells("%v (%d)", a.Kind, a.Size)
	if (p.closing || p.hurries) && (a.Kind < Stops || a.Kind >= Asks) {
		return
	}
	switch a.Kind {
	case Says:
		p.message(a.Size)
	case SaysMore:
		p.fragments(a.Size)
	case Drags:
		p.drags(a.Size)
	case Begins:
		p.halfFrame(a.Size)
	case Pings:
		p.ping(p.pingPayload('p'))
	case Pongs:
		p.pongs([]byte("unasked!"), false)
	case Crowds:
		p.crowd()
	case Floods:
		for left := a.Size; left > 0; left -= 60_000 {
			p.message(min(left, 60_000))
		}
	case Closes:
		p.closes([]byte{0x0f, 0xa0, 'b', 'y', 'e'}) // 4000
		p.w.after(20*time.Second, p.leavesLate)
	case Violates:
		p.violates(a.Size % len(violations))
	case Raves:
		p.raves()
	case Slams:
		p.slams()
	case Stops:
		p.brokeNow()
		p.frozen = max(p.frozen, p.w.now+time.Duration(a.Size)*time.Millisecond)
	case Breaks:
		p.says(p.frame(0x80|opBinary, p.payload(a.Size))[:1+a.Size/2])
		p.halts = true
		p.dies()
	case Freeze:
		p.dies()
	case Vanish:
		p.dies()
		p.s.Out.Lost, p.s.Peer().Out.Lost = true, true
	case Halves:
		p.brokeNow()
		p.writeEnd = true
		_ = p.s.CloseWrite()
	case Leaves:
		p.leaves()
	case Resets:
		p.resets()
	case Asks:
		p.asksText(a.Size)
	case Spells:
		p.spellsText(a.Size, false)
	case Hints:
		p.spellsText(a.Size, true)
	case Volunteers:
		if p.app().Pong != "" {
			p.saysText(p.appPong())
		}
	case Dulls:
		p.dulls()
	default:
		panic("there is no such act: " + a.Kind.String())
	}
}

// waitsFor returns how long an action has to wait, since nothing may stand inside a frame,
// and no message inside another.
func (p *peer) waitsFor(k Kind) time.Duration {
	switch {
	case len(p.rest) > 0:
		return 200 * time.Millisecond
	case p.dragsTo > p.w.now && isMessage(k):
		return p.dragsTo - p.w.now
	case p.unended && isMessage(k):
		return time.Hour
	default:
		return 0
	}
}

func isMessage(k Kind) bool {
	switch k {
	case Says, SaysMore, Drags, Begins, Floods, Breaks, Asks, Spells, Hints, Volunteers, Dulls:
		return true
	default:
		return false
	}
}

// leavesLate ends what the proxy has not ended long after a Close.
func (p *peer) leavesLate() {
	if p.frozen <= p.w.now {
		p.leaves()
	}
}

func (p *peer) message(size int) {
	p.weighs(0x80|opBinary, size)
	p.says(p.frame(0x80|opBinary, p.payload(size)))
}

// payload is of the peer's own, so that no two conversations are alike.
func (p *peer) payload(size int) []byte {
	own := byte(37*p.talk.number) ^ byte(p.side)<<7 ^ byte(len(p.sent)>>8)
	b := p.w.room.payload[:0]
	for i := range min(size, 256) {
		b = append(b, byte(i)^own)
	}
	for len(b) < size {
		b = append(b, b[:min(len(b), size-len(b))]...)
	}
	p.w.room.payload = b
	return b
}

func (p *peer) fragments(size int) {
	part := size / 3
	for i, first := range []byte{opText, opContinuation, 0x80 | opContinuation} {
		if i == 1 {
			p.ping(p.pingPayload('f'))
		}
		p.weighs(first, part)
		p.says(p.frame(first, p.payload(part)))
	}
}

// drags sends a message in many fragments, with a while between them.
func (p *peer) drags(size int) {
	parts := 2 + size%25
	gap := spread(p.w.choices, 2*time.Second)
	p.dragsTo = p.w.now + time.Duration(parts-1)*gap + 1
	for i := range parts {
		first := byte(opContinuation)
		switch i {
		case 0:
			first = opText
		case parts - 1:
			first = 0x80 | opContinuation
		}
		p.w.after(time.Duration(i)*gap, func() { p.drag(first, func() []byte { return p.payload(size / parts) }) })
	}
}

// drag sends a fragment. If the peer is stopped, so are its fragments.
func (p *peer) drag(first byte, payload func() []byte) {
	switch {
	case p.frozen == never:
	case p.frozen > p.w.now:
		p.dragsTo = max(p.dragsTo, p.frozen+1)
		p.w.after(p.frozen-p.w.now, func() { p.drag(first, payload) })
	default:
		b := payload()
		p.weighs(first, len(b))
		p.says(p.frame(first, b))
	}
}

// halfFrame sends a part of a frame; the rest follows soon.
func (p *peer) halfFrame(size int) {
	p.weighs(0x80|opBinary, size)
	f := p.frame(0x80|opBinary, p.payload(size))
	cut := 1 + p.w.choices.IntN(len(f))
	if p.closing || p.writeEnd {
		return
	}
	p.says(f[:cut])
	if p.rest = bytes.Clone(f[cut:]); len(p.rest) > 0 {
		p.w.after(spread(p.w.choices, time.Second), func() {
			rest := p.rest
			p.rest = nil
			p.says(rest)
		})
	}
}

// raves sends a Close, and then more than anybody may send.
func (p *peer) raves() {
	watched := p.talk.clean && p.goesOn()
	p.brokeNow()
	p.closes([]byte{0x0f, 0xa0})
	const more = 3 << 20
	before := p.taken
	for range more / len(rubbish) {
		p.writes(rubbish[:])
	}
	p.w.after(10*time.Minute, func() {
		most := 1<<20 + 256<<10 + p.w.plan.Knobs.Buffer + 2*p.w.plan.Knobs.Inbox
		if read := p.taken - before; watched && read > most {
			p.w.fails("%v %d has sent %d bytes after its Close, and they were read", p.side, p.talk.number, read)
		}
	})
}

// slams sends a Close, and resets TCP as soon as the proxy's TCP has that. The other peer
// says something at that time.
func (p *peer) slams() {
	p.closes([]byte{0x0f, 0xa0})
	p.brokeNow()
	p.w.after(2*p.s.Out.Latency+2*p.s.Peer().Out.Latency, func() {
		for i := range 3 {
			p.w.after(spread(p.w.choices, p.s.Out.Latency+time.Millisecond), func() {
				if o := p.other; i > 0 && o.open && o.frozen <= p.w.now && o.waitsFor(Says) == 0 && !o.hurries && !o.appl.dull {
					o.message(20)
				}
			})
		}
		p.lastWord = p.closing && p.out.len() == 0 && !p.gone() && !p.s.hasUnsent() && p.s.Unacked() == 0
		p.resets()
	})
}

var rubbish [60 << 10]byte

// violations are frames that RFC 6455 forbids, by their first bytes and payloads.
var violations = []struct {
	name string
	send func(p *peer) []byte
}{
	{"opcode 3", func(p *peer) []byte { return p.frame(0x83, nil) }},
	{"opcode 11", func(p *peer) []byte { return p.frame(0x8b, nil) }},
	{"a reserved bit", func(p *peer) []byte { return p.frame(0xa1, []byte("x")) }},
	{"compression that was not agreed on", func(p *peer) []byte { return p.frame(0xc1, []byte("x")) }},
	{"a ping in two parts", func(p *peer) []byte { return p.frame(opPing, []byte("x")) }},
	{"a long ping", func(p *peer) []byte { return p.frame(0x80|opPing, make([]byte, 126)) }},
	{"a continuation of nothing", func(p *peer) []byte { return p.frame(0x80|opContinuation, []byte("x")) }},
	{"wrong masking", func(p *peer) []byte {
		if p.side == client {
			return appendFrame(nil, 0x82, nil, []byte("bare"))
		}
		return appendFrame(nil, 0x82, &[4]byte{1, 2, 3, 4}, []byte("masked"))
	}},
	{"a length that is too long", func(p *peer) []byte {
		b := []byte{0x82, 126, 0, 5}
		if p.side == client {
			b[1] |= 0x80
		}
		return append(b, make([]byte, 20)...)
	}},
	{"half a code", func(p *peer) []byte { return p.frame(0x80|opClose, []byte{3}) }},
	{"Close 1005", func(p *peer) []byte { return p.frame(0x80|opClose, []byte{3, 0xed}) }},
	{"a reason that is not UTF-8", func(p *peer) []byte { return p.frame(0x80|opClose, []byte{3, 0xe8, 0xff}) }},
}

func (p *peer) violates(i int) {
	v := violations[i]
	if p.dragsTo > p.w.now || p.unended { // inside a message a continuation breaks no rule
		v = violations[0]
	}
	p.w.see(p.side.String() + " violates by " + v.name)
	p.breaksProtocol()
	p.writes(v.send(p))
	p.closing, p.closedAt = true, p.w.now // it says nothing more
}
