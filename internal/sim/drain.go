package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy"
)

// A drain is begun by an operator, who leaves the door open, or by a signal, which shuts it.
// Each later signal brings it forward. The proxy takes its own steps, and the world has a
// timetable of its own for them.

// A Drain says how the proxy drains, besides Plan.Stop and Plan.Spread.
type Drain struct {
	At     time.Duration // when an operator begins it, and leaves the door open; 0: never
	Delay  time.Duration // HOLDFAST_DRAIN_DELAY
	Limit  time.Duration // HOLDFAST_DRAIN_TIMEOUT; 0: nothing is cut before it must be gone
	AtOnce bool          // the signal of the stop is SIGINT
	Second time.Duration // how long after that a second signal comes; 0: never
}

// draining is what a world knows of the drain.
type draining struct {
	begun, signalled  bool
	refuse, told, cut time.Duration // when its steps are due; never: they are not

	next     time.Duration // when the proxy is to take the next step
	tellsAt  time.Duration // when it was told to tell the sessions last
	refusing time.Duration // since when every loop refuses clients; never: not all do
	cutAt    time.Duration // when what was left was cut; never: it was not
	besideAt time.Duration // when what is beside the loops was cut last
	cutShut  bool          // late clients were cut, too, since the door was shut
	refused  int           // clients that have read that the proxy drains
	tellings []telling
}

func newDraining() draining {
	return draining{refuse: never, told: never, cut: never, refusing: never, cutAt: never}
}

// rests draws sessions that go on for as long as they may, now and then, so that a drain has
// much to do. It reports whether it has.
func (p *Plan) rests(rnd *rand.Rand) bool {
	if rnd.IntN(15) > 0 {
		return false
	}
	p.Knobs.Idle, p.Knobs.Oldest, p.Knobs.PerIP = 0, 0, 0
	for len(p.Sessions) < 4+rnd.IntN(5) {
		p.Sessions = append(p.Sessions, p.conversation(rnd))
	}
	for i := range p.Sessions {
		c := &p.Sessions[i]
		c.At, c.Opening = spread(rnd, 10*time.Second), Opens
		for _, a := range c.actors() {
			a.Rate, a.Heap = 0, 0
			a.Does = a.Does[:min(1, len(a.Does))]
			a.Does = slices.DeleteFunc(a.Does, func(do Action) bool { return do.Kind >= Floods })
		}
	}
	return true
}

// drawsDrain draws what comes before a stop, and who comes too late. rests says that the
// sessions go on for long.
func (p *Plan) drawsDrain(rnd *rand.Rand, rests bool) {
	if rnd.IntN(4) > 0 && (!rests || rnd.IntN(2) == 0) {
		return
	}
	d := &p.Drain
	if rests { // the stop comes before the drain is over
		p.Spread, p.Stop = oneOf(rnd, 10*time.Second, time.Minute), seldom(rnd, 2, time.Duration(1))
	}
	d.Delay = oneOf(rnd, 0, 0, 5*time.Second)
	d.Limit = oneOf(rnd, 0, time.Second, 20*time.Second)
	if rests || rnd.IntN(3) > 0 {
		d.At = 1 + spread(rnd, oneOf(rnd, 20*time.Second, time.Minute))
		for i := range p.Sessions {
			if c := &p.Sessions[i]; rnd.IntN(3) == 0 {
				c.At = d.At + spread(rnd, d.Delay+oneOf(rnd, 100*time.Millisecond, 20*time.Second, p.Spread+time.Second))
				if rnd.IntN(4) == 0 {
					c.Opening = oneOf(rnd, SaysNothing, Drips)
				}
			}
		}
		if p.Stop > 0 || rnd.IntN(2) == 0 {
			p.Stop = d.At + spread(rnd, oneOf(rnd, 2*time.Second, 30*time.Second, 2*time.Minute))
		}
	}
	if p.Stop > 0 {
		d.AtOnce = rnd.IntN(3) == 0
		d.Second = seldom(rnd, 3, 1+spread(rnd, oneOf(rnd, time.Second, 20*time.Second)))
	}
}

// stopFor returns how SIGTERM drains the proxy, or SIGINT.
func (p *Plan) stopFor(atOnce bool) proxy.Stop {
	if atOnce {
		return proxy.AtOnce(p.Knobs.Close)
	}
	limit := p.Drain.Limit
	if limit == 0 {
		limit = p.drainTime()
	}
	return proxy.Stop{Delay: p.Drain.Delay, Spread: p.Spread, Timeout: limit}
}

// brings makes the steps of the drain due no later than by a Stop that begins now. The
// sessions that are being told are told by then.
func (w *World) brings(how proxy.Stop) {
	d, refuse := &w.drain, w.now+how.Delay
	told := refuse + how.Spread
	sooner := told < d.told
	d.refuse, d.told, d.cut = min(d.refuse, refuse), min(d.told, told), min(d.cut, told+how.Timeout)
	w.after(d.cut-w.now+cutTime+w.plan.stopTime(), func() {
		if !w.proxy.Drained() {
			w.fails("a drain goes on, and what it has left was to be cut at %v", d.cut-epoch)
		}
	})
	if !sooner {
		return
	}
	for i := range d.tellings {
		for _, t := range d.tellings[i].judged {
			w.after(told-w.now+t.tellTime(), func() { t.wantsTold(told) })
		}
	}
}

// plansDrain lets the drain of the plan begin.
func (w *World) plansDrain() {
	if at := w.plan.Drain.At; at > 0 {
		w.after(at, w.drainsOpen)
	}
	if at := w.plan.Stop; at > 0 {
		w.after(at, w.stops)
	}
}

// isStopped reports whether the process is stopped, and does something later then.
func (w *World) isStopped(do func()) bool {
	is := w.stoppedTo > w.now
	if is {
		w.after(w.stoppedTo-w.now, do)
	}
	return is
}

// drainsOpen is an operator's request for a drain.
func (w *World) drainsOpen() {
	d := &w.drain
	if w.isStopped(w.drainsOpen) || d.begun {
		return
	}
	w.tells("%24s an operator drains the proxy", "")
	w.see("drain with the door open")
	how := w.plan.stopFor(false)
	d.begun = true
	w.brings(how)
	w.proxy.Drain(how)
	w.stepsDrain()
	w.after(w.plan.drainTime(), func() {
		if kept := w.proxy.Kept(); kept > 0 {
			w.fails("a drain waits for %d clients long after it has begun", kept)
		}
	})
}

// stops is the first signal.
func (w *World) stops() {
	d, p := &w.drain, w.plan
	if w.isStopped(w.stops) || d.signalled {
		return
	}
	w.tells("%24s the proxy stops", "")
	w.see("stop")
	how := p.stopFor(p.Drain.AtOnce)
	w.seesStop(how)
	over := w.proxy.Drained()
	d.begun, d.signalled = true, true
	w.brings(how)
	w.proxy.Shutdown(how)
	w.stepsDrain()
	switch {
	case over && p.Drain.Limit > 0:
		w.after(how.Timeout, w.cutsAll)
	case p.Drain.Limit == 0:
		w.after(how.Delay+how.Spread+p.Knobs.Close, w.cutsBeside)
	}
	if p.Drain.Second > 0 {
		w.after(p.Drain.Second, w.hurries)
	}
	w.after(p.drainTime(), func() {
		if held := w.proxy.Held(); held > 0 {
			w.fails("the proxy holds %d sessions long after it began to stop", held)
		}
	})
}

// seesStop notes what a signal finds.
func (w *World) seesStop(how proxy.Stop) {
	d := &w.drain
	if w.plan.Drain.AtOnce {
		w.see("SIGINT")
	}
	switch {
	case !d.begun:
	case w.proxy.Drained():
		w.see("stop behind a drain")
	case !w.stopping:
		w.see("stop in the delay of a drain")
	case w.now+how.Delay+how.Spread < d.told:
		w.see("stop brings a drain forward")
	default:
		w.see("stop in a drain")
	}
}

// hurries is the second signal.
func (w *World) hurries() {
	if w.isStopped(w.hurries) {
		return
	}
	w.tells("%24s a second signal comes", "")
	w.see("second signal")
	if w.proxy.Drained() {
		w.cutsAll()
		return
	}
	w.brings(proxy.Stop{})
	w.proxy.Hurry()
	w.stepsDrain()
}

// stepsDrain lets the proxy take the steps of its drain that are due, and checks when it does.
func (w *World) stepsDrain() {
	d := &w.drain
	if w.isStopped(w.stepsDrain) || w.proxy.Drained() {
		return
	}
	kept := w.proxy.Kept()
	if w.now >= d.refuse && !w.stopping {
		w.stopping = true
		w.pages.stops()
	}
	d.tellsAt = w.now
	due := w.proxy.StepDrain()
	if is := w.proxy.Refuses(); is != w.stopping {
		w.fails("clients are refused: %v, and that is due at %v", is, d.refuse-epoch)
	}
	if w.proxy.Drained() {
		w.drainIsOver(kept)
		return
	}
	if next := time.Duration(due); due != heartbeat.Never && next != d.next {
		d.next = next
		w.after(next-w.now, w.stepsDrain)
	}
}

// endsDrain lets the proxy end a drain that waits for nobody any more.
func (w *World) endsDrain() {
	if w.stopping && !w.proxy.Drained() && w.proxy.Kept() == 0 {
		w.stepsDrain()
	}
}

// drainIsOver: what is left is cut, and is gone soon. kept is for how many clients the drain
// has waited.
func (w *World) drainIsOver(kept int) {
	d := &w.drain
	w.tells("%24s the drain is over", "")
	if kept == 0 {
		w.see("drain ends by itself")
	} else {
		w.see("drain cuts what is left")
		d.cutAt = w.now
	}
	d.cutShut = d.signalled
	if kept > 0 && w.now < d.cut {
		w.fails("a drain waits no more for %d clients, and had time until %v", kept, d.cut-epoch)
	}
	w.cutsBeside()
	w.after(cutTime+w.plan.stopTime(), w.wantsCut)
}

// cutTime is how long a loop may take until all that was cut is gone: one second, and two
// for a client that is accepted and refused after the cut, since an accept has failed before.
const cutTime = 3 * time.Second

// wantsCut: what was cut is gone, but for jobs that have not begun.
func (w *World) wantsCut() {
	if kept := w.proxy.Kept(); kept > w.besides+w.unbegun {
		w.fails("%d clients are left behind the cut of a drain", kept)
	}
	if held := w.proxy.Held(); w.drain.cutShut && held > 0 {
		w.fails("%d sessions are left behind the cut of a stop", held)
	}
}

// stopTime is how long stops of the process may put something off.
func (p *Plan) stopTime() time.Duration {
	if p.Faults.Stopped > 0 {
		return 3 * time.Minute
	}
	return 0
}

// cutsAll ends all that is left when the time for a stop is over.
func (w *World) cutsAll() {
	w.drain.cutAt = min(w.drain.cutAt, w.now)
	w.drain.cutShut = true
	w.cutsBeside()
	for i := range w.running {
		w.proxy.CutAll(i)
	}
	w.after(cutTime+w.plan.stopTime(), w.wantsCut)
}

// cutsBeside ends what the proxy has beside its loops.
func (w *World) cutsBeside() {
	w.drain.besideAt = w.now
	w.proxy.CutBeside()
	w.pages.cuts()
}

// drainTime is how long a drain takes at the most.
func (p *Plan) drainTime() time.Duration {
	return p.Drain.Delay + p.Spread + 12*p.Knobs.Write + 12*p.Knobs.Close + time.Minute + p.stopTime()
}

// refusesFrom notes since when all loops refuse clients.
func (w *World) refusesFrom() {
	if w.stopping && w.drain.refusing == never && w.drains() {
		w.drain.refusing = w.now
	}
}

// isLate reports whether the client has come when all loops refused clients.
func (t *talk) isLate() bool { return t.cameAt >= t.w.drain.refusing }

// comesLate checks that a client which comes late is told so. Nothing but the end of the stop
// may be in the way.
func (t *talk) comesLate() {
	w, f, k := t.w, &t.w.plan.Faults, &t.w.plan.Knobs
	if !t.isLate() {
		return
	}
	w.see("late client")
	if f.Accept+f.Poller+f.Stalls+f.Stopped+f.Panic > 0 || k.PerIP > 0 || k.ClientTLS || k.Clients > 0 || k.Lobby > 0 && f.Again+f.Short > 0 {
		return
	}
	t.mustBeTold = true
	switch t.plan.Opening {
	case SaysNothing, Drips, LeavesEarly:
		return
	default: // it asks
	}
	w.after(k.HandshakeTimeout, func() {
		if c := t.client; !c.refused && w.drain.cutAt == never {
			w.fails("client %d has come in a drain, and is told nothing", t.number)
		}
	})
}

// mayEndUntold checks that the proxy ends no late client's connection without a word while
// the door is open, and resets none before the stop has used up its time: a reset can destroy
// the refusal.
func (t *talk) mayEndUntold(err error) {
	c := t.client
	if !t.mustBeTold || c.gone() {
		return
	}
	if !t.w.drain.signalled && !c.refused {
		t.w.fails("client %d has come in a drain, and its connection ends without an answer", t.number)
	}
	if !errors.Is(err, io.EOF) && c.brokeAt == never && t.w.drain.cutAt == never {
		t.w.fails("client %d has come in a drain, and its connection is reset: %v", t.number, err)
	}
}

// judgesRefusal holds an answer that is not the service's against the drain.
func (t *talk) judgesRefusal(status, head string) {
	w, f, k := t.w, &t.w.plan.Faults, &t.w.plan.Knobs
	if status == "503" && !strings.Contains(head, "\r\nRetry-After: ") {
		w.fails("client %d is not told when to come again: %q", t.number, head)
	}
	silent := t.plan.Opening == SaysNothing || t.plan.Opening == Drips
	if status == "503" && w.stopping && !w.drain.signalled && k.Clients == 0 && (silent || w.now < t.client.headOut) {
		w.fails("client %d is refused in a drain before it has asked", t.number)
	}
	if !t.isLate() {
		return
	}
	switch {
	case status == "503":
		w.see("late client is told")
	case status == "400" && t.plan.Opening == AsksWrong, status == "429" && k.PerIP > 0:
	case status == "408" && (silent || f.Stalls+f.Stopped > 0):
	default:
		w.fails("client %d has come in a drain, and is told %s", t.number, status)
	}
}

// drainText is what the 503 says that is sent for a drain.
const drainText = "The proxy is shutting down"

// countsRefusal counts what a client has read of its refusal.
func (t *talk) countsRefusal(refusal string) {
	if strings.Contains(refusal, drainText) {
		t.w.drain.refused++
	}
}

// judgesOpened: no handshake that a drain has found opens a session, unless the upstream has
// answered before.
func (t *talk) judgesOpened() {
	if from := t.w.drain.refusing; t.service.headOut > from {
		t.w.fails("client %d gets a session, and its service has answered %v after the drain began", t.number, t.service.headOut-from)
	}
	if t.w.stopping {
		t.opensLate()
	} else if t.w.drain.begun {
		t.w.see("session opens in the delay of a drain")
	}
}

// opensLate: a session that opens when the drain has told all others is told at once.
func (t *talk) opensLate() {
	if t.foundOpen {
		return // it was open for the proxy before
	}
	t.w.see("session opens in a drain")
	if !t.clean || t.w.drain.refusing == never {
		return
	}
	t.w.after(t.tellTime(), func() {
		if t.goesOnInDrain() {
			t.w.fails("client %d has got a session in a drain, and is told no end", t.number)
		}
	})
}

// isAccepted notes that the proxy has taken a client in. A client that is taken in when the
// door is being shut is waited for until it is told.
func (w *World) isAccepted(from netip.AddrPort) {
	w.accepted++
	if t := w.talks[from.Port()-firstPort]; t.isLate() && w.drain.signalled {
		w.see("late client waits for the door")
		t.atDoor = true
	}
}

// wantsKept: no drain waits for a client that has come late. Each of the others has an open
// connection.
func (w *World) wantsKept() {
	if !w.stopping || w.proxy.Kept() == 0 || w.now < w.drain.besideAt+time.Millisecond { // jobs that were cut are about to end
		return
	}
	most := 0
	for _, t := range w.talks {
		if c, s := t.client.s, t.service.s; c != nil && (!t.isLate() || t.atDoor) && (!c.Peer().Closed() || s != nil && !s.Peer().Closed()) {
			most++
		}
	}
	if kept := w.proxy.Kept(); kept > most {
		w.fails("a drain waits for %d clients, and %d have come before it", kept, most)
	}
}
