package main

import (
	"slices"
	"time"
)

// A drain gives each session of a loop its own part of the spread, in an order that nobody
// sees from outside. So of n sessions that are all told in time, the k-th is told in the k-th
// part. Sessions that end by themselves leave their parts empty: with m of those, the k-th
// that is told may be in any of m parts more.

// A telling is what one loop has had to tell at one moment.
type telling struct {
	loop   int
	from   time.Duration
	spread time.Duration
	first  bool // the loop had told nobody before
	alone  bool // no drain of an upstream has given sessions other moments
	open   int  // sessions
	judged []*talk
	late   time.Duration // how much later than their moments these may be told
}

// drainClose is the Close that clients get for a drain of the proxy.
const drainClose = "\x03\xf4proxy is shutting down"

// tellsLoop is called when a loop has its sessions told, and which are open there.
func (w *World) tellsLoop(loop int, open []string) {
	d := &w.drain
	tell := telling{loop: loop, from: w.now, spread: max(0, d.told-d.tellsAt), first: true, alone: true, open: len(open)}
	for i := range d.tellings {
		tell.first = tell.first && d.tellings[i].loop != loop
	}
	for _, s := range w.sites {
		for _, h := range s.hosts {
			tell.alone = tell.alone && (w.calm || h.retired == never)
		}
	}
	for _, path := range open {
		t := w.talkOf(path)
		if t == nil {
			w.fails("a drain ends a session of nobody's: %q", path)
			continue
		}
		t.foundOpen = true
		if (t.clean || w.calm) && !t.faulty {
			tell.judged = append(tell.judged, t)
			tell.late = max(tell.late, t.tellTime())
			w.after(tell.spread+t.tellTime(), func() { t.wantsTold(tell.from + tell.spread) })
		}
	}
	d.tellings = append(d.tellings, tell)
}

// tellTime is how much later than its moment a client may be told: a Close waits for the end
// of a message, and for that of a frame until its time is over.
func (t *talk) tellTime() time.Duration {
	k := &t.w.plan.Knobs
	late := t.lag()
	for _, a := range t.plan.actors() {
		if a.drags() {
			late = max(late, k.Close/2+t.lag())
		}
		if slices.ContainsFunc(a.Does, func(do Action) bool { return do.Kind == Begins }) {
			late = max(late, 3*k.Close+t.lag())
		}
	}
	return late
}

// wantsTold: a session that was open when the spread began, and that nobody else has ended, is
// told by the spread's end.
func (t *talk) wantsTold(by time.Duration) {
	if t.goesOnInDrain() {
		t.w.fails("client %d is not told %v after the end of the spread of a drain", t.number, t.w.now-by)
	}
}

// goesOnInDrain is goesOn for a session that a drain should have ended.
func (t *talk) goesOnInDrain() bool {
	return t.ended == nil && !t.faulty && !t.operator.asked && !t.client.ending() && !t.service.ending() && t.w.drain.cutAt == never
}

// wantsEven checks that the clients of each loop were told evenly.
func (w *World) wantsEven() {
	if w.plan.Faults.Panic > 0 {
		return
	}
	for i := range w.drain.tellings {
		tell := &w.drain.tellings[i]
		if tell.spread > 0 && tell.open > 0 {
			tell.isEven(w, w.nextTelling(i))
		}
	}
}

// nextTelling returns when the same loop has told its sessions anew.
func (w *World) nextTelling(i int) time.Duration {
	at := w.drain.cutAt
	for _, later := range w.drain.tellings[i+1:] {
		if later.loop == w.drain.tellings[i].loop {
			at = min(at, later.from)
		}
	}
	return at
}

// isEven checks one telling. From until on others may have been told in their parts.
func (tell *telling) isEven(w *World, until time.Duration) {
	var told []time.Duration
	for _, t := range tell.judged {
		if c := t.client; c.hasClose && string(c.gotClose) == drainClose {
			told = append(told, c.toldAt)
		}
	}
	slices.Sort(told)
	part, others := tell.spread/time.Duration(tell.open), tell.open-len(told)
	for i, at := range told {
		after := at - tell.from
		if tell.first && tell.alone && at < until && after < time.Duration(i)*part {
			w.fails("%d clients of a loop are told within %v of a spread of %v for %d", i+1, after, tell.spread, tell.open)
			return
		}
		if most := time.Duration(i+others+1)*part + tell.late; after > most {
			w.fails("%d clients of a loop are told after %v of a spread of %v for %d, and %d others are not", i+1, after, tell.spread, tell.open, others)
			return
		}
	}
	if len(told) > 1 {
		w.see("drain is spread evenly")
	}
}
