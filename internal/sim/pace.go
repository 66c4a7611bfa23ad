package main

import (
	"math/rand/v2"
	"time"

	"holdfast/proxy"
)

// The pace of a client: so many frames and so many bytes a second, and as many at once as
// come in one second. A client that is far below both is never slowed. One that is over a
// rate is read at that rate, and loses nothing.

// drawsPace draws how fast clients may send.
func (p *Plan) drawsPace(rnd *rand.Rand) {
	if rnd.IntN(5) > 0 {
		return
	}
	k := &p.Knobs
	k.PaceFrames = oneOf(rnd, 0, 20., 100)
	k.PaceBytes = oneOf(rnd, 0, 20_000., 100_000)
}

// pace returns how fast clients may send, as the proxy is told it.
func (k *Knobs) pace() proxy.Pace { return proxy.Pace{Frames: k.PaceFrames, Bytes: k.PaceBytes} }

func (k *Knobs) isPaced() bool { return k.PaceFrames+k.PaceBytes > 0 }

// keepsPace reports whether all that a client does on its own is far less than it may send
// at once. Its answers come at most every other second.
func (p *Plan) keepsPace(c *Conversation) bool {
	k := &p.Knobs
	if !k.isPaced() {
		return true
	}
	frames, bytes := c.Client.load()
	if k.Forward { // it answers the pings of the service
		more, _ := c.Service.load()
		frames, bytes = frames+more, bytes+20*more
	}
	const share = 0.4
	return c.Client.Heap == 0 && (c.Service.Heap == 0 || !k.Forward) && (k.PaceFrames == 0 || frames < share*k.PaceFrames) && (k.PaceBytes == 0 || bytes < share*k.PaceBytes)
}

// load is how many frames and bytes an actor sends on its own, at most.
func (a *Actor) load() (frames, bytes float64) {
	for _, do := range a.Does {
		n, size := 1, 0
		switch do.Kind {
		case Says, Begins:
			size = do.Size
		case SaysMore:
			n, size = 4, do.Size
		case Drags:
			n, size = 2+do.Size%25, do.Size
		case Crowds:
			n, size = 200, 200*4
		case Floods:
			n, size = 1+do.Size/60_000, do.Size
		case Asks:
			n = 30
			size = n * mostLooked
		case Spells, Hints:
			n, size = 12, 2*mostLooked
		default: // a short frame
		}
		frames, bytes = frames+float64(n), bytes+float64(size+14*n)
	}
	return frames, bytes
}

// A paced is what the world knows of a client's pace.
type paced struct {
	head   int           // bytes that come before its first frame
	frames parser        // walks what it writes
	count  int           // frames that it has written
	strays bool          // what it writes does not consist of frames
	got    int64         // bytes of frames that were read
	gotAt  time.Duration // when that was looked at
	level  float64       // how many more might have been read then
	done   time.Duration // when all that it has written has been read, at its rates and without a burst
}

// isPaced reports whether the world can tell how much of a client was read.
func (t *talk) isPaced() bool {
	k := &t.w.plan.Knobs
	return k.isPaced() && !k.ClientTLS && t.plan.Opening == Opens
}

// wantsPace checks after every turn that a client was not read faster than it may send.
func (t *talk) wantsPace() {
	if !t.isPaced() || !t.client.goesOn() || !t.service.goesOn() {
		return
	}
	k := &t.w.plan.Knobs
	p, got := &t.pace, max(0, t.client.s.Peer().Got()-int64(t.pace.head))
	if p.gotAt == 0 {
		p.level, p.gotAt = k.PaceBytes, t.service.openedAt
	}
	p.level = min(k.PaceBytes, p.level+k.PaceBytes*(t.w.now-p.gotAt).Seconds()) - float64(got-p.got)
	p.got, p.gotAt = got, t.w.now
	if k.PaceBytes > 0 && p.level < -64 {
		over := -p.level
		p.level = 0
		t.unlessItEnds(func() {
			t.w.fails("client %d is read faster than it may send: by %v bytes", t.number, over)
		})
	}
	seconds := 1 + (t.w.now - t.service.openedAt).Seconds()
	if got := t.service.parser.frames; k.PaceFrames > 0 && float64(got) > k.PaceFrames*seconds+2 {
		t.unlessItEnds(func() {
			t.w.fails("%d frames of client %d were passed on in %v s, and it may send %v a second", got, t.number, seconds, k.PaceFrames)
		})
	}
}

// unlessItEnds calls fails if the session goes on. The proxy reads as much as there is if the
// service takes nothing more, and the peers see that later.
func (t *talk) unlessItEnds(fails func()) {
	k := &t.w.plan.Knobs
	t.w.after(2*k.Close+k.Write+2*t.lag(), func() {
		if t.client.goesOn() && t.service.goesOn() {
			fails()
		}
	})
}

// isReadInTime is called with what a client writes. It checks that all of that is read at
// the client's rate, where nothing else can be in the way.
func (t *talk) isReadInTime(b []byte) {
	f, k, a := &t.w.plan.Faults, &t.w.plan.Knobs, &t.plan.Service
	if !t.isPaced() || t.pace.strays {
		return
	}
	before, p := t.pace.count, &t.pace
	if p.frames.control == nil {
		p.frames = parser{wantsMask: true, control: func(byte, []byte) { p.count++ }, bytes: func([]byte) {}}
	}
	data := p.frames.frames
	if p.frames.takes(b) != nil {
		p.strays = true
		return
	}
	p.count += p.frames.frames - data
	p.done = max(p.done, t.w.now)
	wait := 0.
	if k.PaceBytes > 0 {
		wait = float64(len(b)) / k.PaceBytes
	}
	if k.PaceFrames > 0 {
		wait = max(wait, float64(p.count-before)/k.PaceFrames)
	}
	p.done += time.Duration(wait * float64(time.Second))
	if f.Stalls+f.Stopped+f.Poller+f.Panic > 0 || f.Slow > time.Millisecond || t.w.plan.hangs() || a.Rate > 0 || a.Heap > 0 {
		return
	}
	mark := int64(p.head + t.client.framed + len(b))
	in := (p.done-t.w.now)*11/10 + 3*time.Second
	t.w.after(in, func() {
		if got := t.client.s.Peer().Got(); got < mark && t.client.goesOn() && t.service.goesOn() {
			t.w.fails("client %d has written %d bytes, and %d were read %v later", t.number, mark, got, in)
		}
	})
}

// wantsThrottles checks that nobody was slowed who has kept its pace.
func (w *World) wantsThrottles(counted map[string]float64) {
	const name = "holdfast_reads_throttled_total"
	over := false
	for _, t := range w.talks {
		over = over || !w.plan.keepsPace(t.plan)
	}
	switch n := counted[name+" client"]; {
	case counted[name+" upstream"] > 0:
		w.fails("services were slowed")
	case n > 0 && !over:
		w.fails("clients were slowed %v times, and each has kept its pace", n)
	case n > 0:
		w.see("client slowed")
	case w.plan.Knobs.isPaced() && !over:
		w.see("client keeps its pace")
	}
}

// headSize is how many bytes a client writes before its first frame.
func (t *talk) headSize() int { return len(t.request()) }
