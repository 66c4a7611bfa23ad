package main

import (
	"strings"
	"time"
)

// Messages that the proxy may know, and the ways in which peers send them.

// A form is how a message differs from what a rule is about, if it does.
type form int

const (
	exact   form = iota
	altered      // its last byte is another one
	longer       // it goes on
	shorter      // it ends too soon
	garbled      // it is not UTF-8
	longest      // it is as long as what the proxy looks at
	tooLong      // it is a byte longer
	wordy        // a long text stands for its wildcard
	forms
)

// text is a message about a rule of the peer's side.
func (p *peer) text(size int) string {
	var patterns []string
	k := p.app()
	for _, r := range k.rules() {
		patterns = append(patterns, r.asked)
	}
	if len(patterns) == 0 {
		patterns = []string{"nothing that anybody knows"}
	}
	if k.Pong != "" && size%16 == 15 {
		patterns = []string{k.Pong}
	}
	pattern, f := patterns[size%len(patterns)], form(size>>4)%forms
	wild := []string{"", "1", "äöü", "{\"a\":[1,2]}", "\\"}[size>>8%5]
	fixed := len(pattern) - strings.Count(pattern, wildcard)
	header := 4
	if p.side == client {
		header = 8
	}
	most := mostLooked - header - fixed
	text := fill(pattern, wild)
	switch f {
	case altered:
		b := []byte(text)
		b[len(b)-1] ^= 1
		return string(b)
	case longer:
		return text + "x"
	case shorter:
		return text[:len(text)-1]
	case garbled:
		return fill(pattern, wild+"\xc3\x28") + oneOf(p.w.choices, "", "\xff")
	case longest:
		return fill(pattern, strings.Repeat("w", most))
	case tooLong:
		return fill(pattern, strings.Repeat("w", most+1))
	case wordy:
		return fill(pattern, strings.Repeat("ü", 100+size%200))
	default:
		return text
	}
}

// saysText says a message in one frame.
func (p *peer) saysText(text string) {
	p.weighs(0x80|opText, len(text))
	p.says(p.frame(0x80|opText, []byte(text)))
	p.awaitsDelivery()
}

// asksText says a message about a rule in one frame, and now and then 30 of them at once.
func (p *peer) asksText(size int) {
	n := 1
	if size%64 == 63 { // there may be no room for so many answers
		n = 30
	}
	for range n {
		p.saysText(p.text(size))
	}
}

// spells says a message in parts, with control frames between them. If it only hints, the
// last part never comes.
func (p *peer) spells(text string, parts int, gap time.Duration, hints bool) {
	parts = min(parts, len(text)+1)
	all := make([]string, parts)
	for i := range parts {
		all[i] = text[len(text)*i/parts : len(text)*(i+1)/parts]
	}
	p.dragsTo = p.w.now + time.Duration(parts-1)*gap + 1
	if hints {
		p.unended = true
		all = all[:max(1, parts-1)]
		parts++
	}
	controls := p.w.choices.IntN(4)
	for i, part := range all {
		first := byte(opContinuation)
		if i == 0 {
			first = opText
		}
		if i == parts-1 {
			first |= 0x80
		}
		do := func() {
			if i > 0 {
				p.interrupts(controls)
			}
			p.drag(first, func() []byte { return []byte(part) })
			p.awaitsDelivery()
		}
		if gap == 0 {
			do()
			continue
		}
		p.w.after(time.Duration(i)*gap, do)
	}
}

// interrupts sends control frames between two fragments.
func (p *peer) interrupts(which int) {
	if p.frozen > p.w.now {
		return
	}
	if which&1 != 0 {
		p.ping(p.pingPayload('i'))
	}
	if which&2 != 0 && p.w.plan.Knobs.Forward { // else it would answer a ping of the proxy's
		p.pongs([]byte("unasked!"), false)
	}
}

// awaitsDelivery checks that what is passed on comes soon.
func (p *peer) awaitsDelivery() {
	t := p.talk
	if !t.clean || !t.opened {
		return
	}
	mark := len(p.sent)
	t.later(t.lag(), func() bool { return p.other.received() >= mark || !p.goesOn() },
		"%v %d has said %d bytes that are to be passed on, and the other side has not got them", p.side, t.number, mark)
}

// spellsText spells a message about a rule.
func (p *peer) spellsText(size int, hints bool) {
	gap := oneOf(p.w.choices, 0, time.Millisecond, spread(p.w.choices, 1500*time.Millisecond))
	p.spells(p.text(size), 2+size%3, gap, hints)
}

// weighs notes a data frame of the peer's, and whether it goes over a limit.
func (p *peer) weighs(first byte, size int) {
	k := &p.w.plan.Knobs
	if first&0xf != opContinuation {
		p.weight = 0
	}
	p.weight += int64(size)
	tooBig := k.MaxFrame > 0 && int64(size) > k.MaxFrame
	tooLong := k.MaxMessage > 0 && p.weight > k.MaxMessage
	if !tooBig && !tooLong || p.silent() || p.violated || p.appl.dull {
		return
	}
	switch {
	case tooBig && tooLong:
	case tooBig:
		p.over = "frame too big"
	default:
		p.over = "message too big"
		p.sees("says a message over the limit")
		if first&0xf == opContinuation {
			p.sees("says a fragment over the limit")
		}
	}
	p.breaksProtocol()
}
