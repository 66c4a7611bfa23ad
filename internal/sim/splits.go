package main

import (
	"bytes"
	"fmt"
	"time"
)

// The exhaustive part: every conversation of two short frames, cut in every way, and every
// order in which the rest of the world may act in between; and messages that the proxy may
// know, cut in every way or at every two places. It needs no chance.

// A shape is a short frame.
type shape struct {
	first   byte
	payload string
}

var shapes = []shape{
	{0x80 | opText, ""}, {0x80 | opBinary, "d"}, {0x80 | opBinary, "data"}, {opText, "f"}, {0x80 | opContinuation, "g"},
	{0x80 | opPing, ""}, {0x80 | opPing, "p"}, {0x80 | opPong, "q"}, {0x80 | opClose, ""}, {0x80 | opClose, "\x03\xe8"},
}

// mostBytes is how long the two frames may be together.
const mostBytes = 12

// A step is what happens before the next piece of the frames comes.
type step byte

const (
	drains  step = 'w' // the receiver's socket, which was full, takes bytes again
	answers step = 'r' // the receiver says something, so its own leg is readable
	ticks   step = 't' // a ping falls due
	stops   step = 'd' // the proxy begins to drain
)

// A split is one case: who speaks, what, cut where, and what happens in between.
type split struct {
	side   int
	frames []shape
	texts  bool   // the proxy knows messages
	cuts   uint   // bit i: there is a cut behind byte i
	steps  []step // one after each piece, in this order; the rest after the last
}

func (s split) String() string {
	text := fmt.Sprintf("side %d,", s.side)
	for _, f := range s.frames {
		text += fmt.Sprintf(" frame %x %q,", f.first, f.payload)
	}
	return fmt.Sprintf("%s cuts %b, steps %s", text, s.cuts, s.steps)
}

// splits calls play with every case. Frames are cut in every way with the steps in one
// order, and at every one place with the steps in every order.
func splits(play func(split)) {
	for side := range 2 {
		for _, a := range shapes {
			for _, b := range shapes {
				size := a.size(side) + b.size(side)
				if size > mostBytes || a.follows(shape{}) != nil || b.follows(a) != nil {
					continue
				}
				frames := []shape{a, b}
				for cuts := range uint(1) << (size - 1) {
					play(split{side: side, frames: frames, cuts: cuts, steps: []step{drains, answers}})
				}
				for at := range size - 1 {
					orders([]step{drains, answers, ticks, stops}, func(steps []step) {
						play(split{side: side, frames: frames, cuts: 1 << at, steps: steps})
					})
				}
			}
		}
		for _, frames := range texts {
			textSplits(split{side: side, frames: frames, texts: true}, play)
		}
	}
}

// orders calls play with every order of steps.
func orders(steps []step, play func([]step)) {
	if len(steps) <= 1 {
		play(steps)
		return
	}
	for i := range steps {
		rest := append(append([]step{}, steps[:i]...), steps[i+1:]...)
		orders(rest, func(others []step) { play(append([]step{steps[i]}, others...)) })
	}
}

func (f shape) size(side int) int {
	if side == int(client) {
		return 6 + len(f.payload)
	}
	return 2 + len(f.payload)
}

// follows returns an error if the frame may not come behind another; that of no frame is
// the beginning.
func (f shape) follows(before shape) error {
	begun := before.first == opText
	switch {
	case before.first == 0x80|opClose,
		f.first == 0x80|opContinuation && !begun,
		f.first&8 == 0 && f.first != 0x80|opContinuation && begun:
		return fmt.Errorf("%x may not follow %x", f.first, before.first)
	}
	return nil
}

// plays plays one case in a world of its own, and returns the promises that were broken.
func (s split) plays() []error {
	plan := &Plan{
		Seed:     1, // which is played once
		Knobs:    Knobs{Loops: 1, Interval: 20 * time.Second, Timeout: 20 * time.Second, UpstreamPong: "require", Write: 5 * time.Second, Close: 2 * time.Second, HandshakeTimeout: 10 * time.Second, Places: 10, Buffer: 64 << 10, Inbox: 64 << 10},
		Faults:   Faults{Slow: time.Microsecond},
		Sessions: make([]Conversation, 1),
	}
	if s.texts {
		plan.Knobs.ClientApp.Answers, plan.Knobs.ServiceApp.Answers = splitRules, splitRules
	}
	w := newWorld(plan, story{})
	w.talks[0].clean = false // no ping can come inside a frame that waits for a step
	w.runUntil(w.now + time.Second)
	t := w.talks[0]
	from := []*peer{t.client, t.service}[s.side]
	from.speaks(s)
	w.runUntil(w.now + time.Second)
	if s.texts {
		from.wantsAnswers(s)
	}
	if t.ended == nil {
		t.client.closes([]byte{0x03, 0xe8})
	}
	return w.Run()
}

// speaks sends the pieces, with the steps in between. The receiver takes nothing until it
// is told to.
func (p *peer) speaks(s split) {
	to := p.other
	steps := s.steps
	if len(steps) > 0 {
		to.s.Peer().SetSendBuffer(1)
		to.s.SetReceiveBuffer(1)
		to.readsAt = p.w.now + time.Second
	}
	b, data := p.stream(s)
	pieces, at := s.pieces(b), 0
	for i, piece := range pieces {
		for j := range piece {
			if data[at+j] {
				p.reader.feed(piece[j : j+1])
			}
		}
		at += len(piece)
		p.writes(piece)
		p.rest = bytes.Join(pieces[i+1:], nil) // nothing else may stand in between
		p.w.runUntil(p.w.now + time.Millisecond)
		if got := to.received() + len(to.parser.text); len(s.steps) == 0 && got != len(p.sent) && len(p.w.wrong) == 0 {
			p.w.fails("%d bytes were to be passed on at once, and %d were", len(p.sent), got)
		}
		if len(steps) > 0 {
			to.steps(steps[0])
			steps = steps[1:]
		}
	}
	for _, step := range steps {
		to.steps(step)
	}
	to.steps(drains)
}

// stream makes the frames, and says which bytes are those of data frames.
func (p *peer) stream(s split) (b []byte, data []bool) {
	for _, f := range s.frames {
		frame := p.frame(f.first, []byte(f.payload))
		b = append(b, frame...)
		for range frame {
			data = append(data, f.first&0xf <= opBinary)
		}
		payload := []byte(f.payload)
		switch f.first & 0xf {
		case opPing:
			p.pinged = append(p.pinged, payload)
		case opPong:
		case opClose:
			p.closing, p.closePayload = true, &payload
		case noOpcode:
			p.breaksProtocol()
			p.closing = true
		}
	}
	return b, data
}

// pieces cuts the frames.
func (s split) pieces(b []byte) (all [][]byte) {
	from := 0
	for i := range b {
		if i == len(b)-1 || s.cuts>>i&1 != 0 {
			all = append(all, bytes.Clone(b[from:i+1]))
			from = i + 1
		}
	}
	return all
}

func (p *peer) steps(s step) {
	w := p.w
	switch s {
	case drains:
		p.s.Peer().SetSendBuffer(64 << 10)
		p.s.SetReceiveBuffer(64 << 10)
		p.readsAt = w.now
		p.note()
	case answers:
		p.message(3)
	case ticks:
		w.runUntil(w.now + 21*time.Second)
	case stops:
		w.stops()
	}
	w.runUntil(w.now + time.Millisecond)
}
