package main

import (
	"slices"
	"time"

	"holdfast/metrics"
	"holdfast/proxy"
)

// What the proxy says to an application on its own, what it takes of that, and what it
// answers. All of it is written from what the documentation promises: the sender of a
// message knows what becomes of it, but for an answer to a ping that may be under way.

// An application is what a peer's program has heard and said of heartbeats.
type application struct {
	pings     int           // of the proxy's that have come
	pingAt    time.Duration // when the last of them did
	asked     int           // pings whose answer is due
	fewest    int           // pings that the proxy knows as unanswered, at least
	most      int           // and at most, but for those under way
	unsure    int           // answers that a ping under way may have taken
	unsureAt  time.Duration // when the last of them was said
	pongs     int           // answers that were said
	takenAt   time.Duration // when the first was said that the proxy must have taken; 0: none
	wordAt    time.Duration // when it last said a message, or a part of one that is passed on
	insideTo  time.Duration // when the last message to it has ended
	owed      []owed        // answers of the proxy's that have not come
	asks, got int           // messages that want an answer, and answers that have come
	dull      bool          // the program hangs behind a library that lives
	dullAt    time.Duration // since when, if it had broken nothing before
}

// owed is an answer of the proxy's that a peer waits for.
type owed struct {
	text string
	must bool // there was room for it
	at   time.Duration
}

// remembered is how many pings the proxy remembers as unanswered.
const remembered = 4

// answersMost is how many bytes of answers wait before the proxy answers no more.
const answersMost = 4 << 10

func (p *peer) app() *AppKnobs { return p.w.plan.Knobs.app(p.side) }

func (p *peer) sees(what string) { p.w.see(p.side.String() + " " + what) }

// appTimeout is the text of a Close to a peer whose application does not answer.
const appTimeout = "application heartbeat timeout"

// ownMost is the size of the longest message that the proxy says on its own.
const ownMost = 2 * 1024

// isTold reports whether a message is of the proxy's own, and notes it.
func (p *peer) isTold(payload []byte) bool {
	text := string(payload)
	if k := p.app(); k.Ping != "" && text == k.Ping {
		p.hasAppPing()
		return true
	}
	i := slices.IndexFunc(p.appl.owed, func(o owed) bool { return o.text == text })
	if i < 0 {
		return false
	}
	if slices.ContainsFunc(p.appl.owed[:i], func(o owed) bool { return o.must }) {
		p.w.fails("%v %d gets the answer %.40q, and one that was due before it is left out", p.side, p.talk.number, text)
	}
	p.sees("has an answer")
	p.tells("<- the answer %.40q", text)
	p.appl.owed = p.appl.owed[i+1:]
	p.appl.got++
	if !p.talk.faulty { // a panic in the middle of a write comes before the count
		p.w.apps[p.side].told++
	}
	p.mayBeTold()
	return true
}

// abandons notes that a peer ends inside a message that the proxy holds back.
func (p *peer) abandons(how string) {
	if p.reader.looks && len(p.reader.held) > 0 && p.talk.ended == nil {
		p.sees(how + " inside a message that is held back")
	}
}

// mayBeTold checks that nothing of the proxy's own comes after a Close.
func (p *peer) mayBeTold() {
	if t := p.talk; t.clean && p.closing && p.w.now > p.closedAt+t.lag() {
		p.w.fails("%v %d is told something by the proxy %v after its Close", p.side, t.number, p.w.now-p.closedAt)
	}
}

// hasAppPing checks that pings of the proxy's do not come too often, and answers.
func (p *peer) hasAppPing() {
	a, t, k := &p.appl, p.talk, p.app()
	p.sees("has an application's ping")
	p.tells("<- an application's ping")
	p.mayBeTold()
	if gap := p.w.now - a.pingAt; t.clean && a.pings > 0 && gap < k.Interval*9/10-t.lag() {
		p.w.fails("%v %d has an application's ping %v after the one before", p.side, t.number, gap)
	}
	a.pings++
	a.pingAt = p.w.now
	p.w.apps[p.side].pings++
	if a.unsure > 0 && p.w.now <= a.unsureAt+2*t.lag() {
		a.unsure-- // its answer may have come before it
	} else {
		a.unsure, a.fewest = 0, min(a.fewest+1, remembered)
	}
	a.most = min(a.most+1, remembered)
	a.asked++
	p.w.after(p.plan.Answers+p.plan.AppAfter, p.answersApp)
	p.awaitsAppPing()
}

// answersApp says what the program answers to a ping.
func (p *peer) answersApp() {
	a := &p.appl
	switch {
	case a.asked == 0, p.gone(), p.closing, p.hurries, a.dull, p.unended, p.frozen == never, p.app().Pong == "":
		return
	case p.frozen > p.w.now:
		p.w.after(p.frozen-p.w.now, p.answersApp)
		return
	case p.waitsFor(Says) > 0:
		p.w.after(p.waitsFor(Says), p.answersApp)
		return
	}
	a.asked--
	switch p.plan.App {
	case Ignores:
		return
	case Wavers:
		if p.w.choices.IntN(2) == 0 {
			return
		}
	case Doubles:
		p.saysText(p.appPong())
	case Stutters:
		p.spells(p.appPong(), 3, 0, false)
		return
	default: // once
	}
	p.saysText(p.appPong())
}

// appPong is a message that answers a ping.
func (p *peer) appPong() string { return fill(p.app().Pong, string(rune('a'+p.appl.pongs%20))) }

// fate is what the proxy does with a whole message of the peer's.
func (p *peer) fate(text string) fate {
	k := p.app()
	if k.Pong != "" {
		if _, is := matches(k.Pong, text); is {
			return p.pongFate()
		}
	}
	for _, r := range k.rules() {
		if wild, is := matches(r.asked, text); is {
			p.isHeard(fill(r.answer, wild))
			return taken
		}
	}
	p.sees("says a message that is no rule's")
	return passes
}

// pongFate is the fate of an answer to a ping of the proxy's.
func (p *peer) pongFate() fate {
	a, t := &p.appl, p.talk
	none := a.most == 0 && !p.mayBePinged()
	a.pongs++
	a.most = max(0, a.most-1)
	if a.fewest > 0 {
		a.fewest--
		if !t.clean || !p.goesOn() || t.endsByItself() {
			return mayPass
		}
		t.w.after(t.lag(), func() {
			if p.goesOn() { // else the session may have ended before the answer came
				p.w.apps[p.side].answers++
			}
		})
		if a.takenAt == 0 {
			a.takenAt = p.w.now
		}
		p.sees("answers an application's ping")
		return taken
	}
	if t.clean && none {
		p.sees("answers no application's ping")
		return passes
	}
	a.unsure++
	a.unsureAt = p.w.now
	return mayPass
}

// mayBePinged reports whether a ping of the application may be under way to the peer.
func (p *peer) mayBePinged() bool {
	a, k := &p.appl, p.app()
	since := a.pingAt
	if a.pings == 0 {
		since = min(p.openedAt, p.other.openedAt)
	}
	return k.Ping != "" && p.w.now+2*p.talk.lag() >= since+k.Interval*9/10
}

// endsByItself reports whether the proxy may end a session that its peers do not end. What
// leaves with such an end is not remembered.
func (t *talk) endsByItself() bool {
	p := t.w.plan
	return p.Knobs.Idle > 0 || p.Knobs.Oldest > 0 || p.Stop > 0 || p.Drain.At > 0 || t.plan.Operator > 0 || t.w.stopping ||
		slices.ContainsFunc(p.Troubles, func(t Trouble) bool { return t.Kind == Retires })
}

// isHeard notes that the proxy has taken a message, and that the peer waits for the answer.
func (p *peer) isHeard(answer string) {
	a := &p.appl
	p.sees("says what the proxy answers")
	if answer == "" {
		return
	}
	p.w.apps[p.side].asks++
	p.expires()
	waits := 0
	for _, o := range a.owed {
		waits += len(o.text) + 8
	}
	if p.busy() {
		p.sees("waits for an answer behind a message")
	}
	a.owed = append(a.owed, owed{answer, waits < answersMost, p.w.now})
	if waits >= answersMost {
		p.sees("asks for more answers than there is room for")
		return
	}
	a.asks++
	if !p.talk.clean || !p.talk.opened {
		return
	}
	wanted := p.w.now
	p.awaitsOwn(0, func() bool {
		return !slices.ContainsFunc(a.owed, func(o owed) bool { return o.must && o.at <= wanted })
	}, "has no answer to a message")
}

// expires drops answers that there was no room for, and that would have come by now.
func (p *peer) expires() {
	t := p.talk
	if t.clean && !p.busy() {
		p.appl.owed = slices.DeleteFunc(p.appl.owed, func(o owed) bool { return !o.must && o.at+2*t.lag() < p.w.now })
	}
}

// busy reports whether a message to the peer is under way, or was a moment ago.
func (p *peer) busy() bool {
	if p.parser.insideMessage() || p.other.reader.inside() || len(p.other.rest) > 0 {
		p.appl.insideTo = p.w.now
	}
	return p.appl.insideTo > 0 && p.w.now <= p.appl.insideTo+p.talk.lag()
}

// awaitsOwn checks that something of the proxy's own has come, once no message is in its
// way. It waits for the end of each message that is.
func (p *peer) awaitsOwn(in time.Duration, done func() bool, wrong string) {
	t := p.talk
	t.w.after(in+t.lag(), func() {
		switch {
		case done() || !p.goesOn():
		case p.busy():
			p.awaitsOwn(0, done, wrong)
		default:
			t.w.after(t.lag(), func() {
				if !done() && p.goesOn() && !p.busy() {
					t.w.fails("%v %d %s", p.side, t.number, wrong)
				}
			})
		}
	})
}

// awaitsAppPing checks that the next ping of the application comes within the interval. A
// peer that owes an answer is not pinged.
func (p *peer) awaitsAppPing() {
	t, k := p.talk, p.app()
	if k.Ping == "" || !t.clean {
		return
	}
	if k.Pong != "" && t.w.plan.Knobs.Timeout > 0 && !p.isObliging() {
		return
	}
	pings := p.appl.pings
	p.awaitsOwn(k.Interval*21/20+p.plan.Answers, func() bool {
		return p.appl.pings != pings || p.appl.dull || p.unended || p.appl.asked > 0 && k.Pong != "" || p.waitsFor(Says) > 0
	},
		"has no ping of the application in time")
}

// dulls lets the peer's program hang behind a library that lives, and checks that the proxy
// finds that.
func (p *peer) dulls() {
	a, t, k := &p.appl, p.talk, p.app()
	healthy := p.goesOn() && p.other.goesOn()
	if a.dull = true; p.brokeAt == never {
		a.dullAt = p.w.now
	}
	p.brokeNow()
	timeout, f := t.w.plan.Knobs.Timeout, &t.w.plan.Faults
	if f.Short+f.Again > 0 { // a pause behind a tail may begin the deadline anew
		return
	}
	if !t.clean || !healthy || k.Ping == "" || k.Pong == "" || timeout == 0 || a.takenAt == 0 || p.other.plan.drags() {
		return
	}
	p.sees("is dull, and watched")
	within := 2*k.Interval*21/20 + timeout*101/100 + 4*t.lag()
	t.w.after(within, func() {
		if p.ended || p.gone() || p.closing || p.hasClose || p.other.ending() || t.ended != nil || t.stops() || t.faulty {
			return
		}
		t.w.fails("the program of %v %d hangs since %v, and the other side does not know", p.side, t.number, within)
	})
}

// judgesApp holds a drop for an application that does not answer against what it has said.
func (t *talk) judgesApp(p *peer) {
	a, k, timeout := &p.appl, p.app(), t.w.plan.Knobs.Timeout
	p.sees("is dropped for its application")
	switch {
	case k.Ping == "" || k.Pong == "" || timeout == 0:
		t.w.fails("%v %d is dropped for an application's heartbeat that it does not owe", p.side, t.number)
	case !t.learntApp(p):
		t.w.fails("%v %d is dropped for an application's heartbeat, and has answered none", p.side, t.number)
	case t.clean && a.pings > 0 && (p.brokeAt == never || p.brokeAt == a.dullAt) && t.w.now-a.pingAt < timeout-t.lag():
		t.w.fails("%v %d is dropped %v after a ping of the application", p.side, t.number, t.w.now-a.pingAt)
	case t.clean && a.pings > 0 && a.wordAt > a.pingAt && a.wordAt+t.lag() < t.w.now:
		t.w.fails("%v %d is dropped for its application, and has said something since it was pinged", p.side, t.number)
	case p.brokeAt == never && a.asked == 0 && p.isObliging() && !t.w.excused(metrics.PingTimeout):
		t.w.fails("%v %d is dropped for its application, and has answered each ping that has come", p.side, t.number)
	}
	p.brokeNow()
}

// isObliging reports whether a peer answers each ping of the application soon.
func (p *peer) isObliging() bool {
	switch p.plan.App {
	case Obliges, Doubles, Stutters:
		return p.plan.AppAfter <= 300*time.Millisecond && !p.unended && !p.plan.drags()
	default:
		return false
	}
}

// learntApp reports whether the proxy may know that a peer answers. A target shows it for
// all of its sessions.
func (t *talk) learntApp(p *peer) bool {
	for _, other := range t.w.talks {
		if of := []*peer{other.client, other.service}[p.side]; of.appl.pongs > 0 && (other == t || p.side == service && other.host == t.host) {
			return true
		}
	}
	return false
}

// appCounts are what all applications of one side have heard and said.
type appCounts struct {
	pings   int // that have come
	answers int // that the proxy must have taken
	asks    int // messages that the proxy is to answer
	told    int // answers that have come, but for those of sessions that had panicked
}

// wantsAppCounts holds the counters against what the peers know. A ping that leaves while
// its session ends is not counted.
func (w *World) wantsAppCounts(counted map[string]float64) {
	for _, side := range []proxy.Side{client, service} {
		c, label := &w.apps[side], " "+[]string{"client", "upstream"}[side]
		pongs := 0
		for _, t := range w.talks {
			pongs += []*peer{t.client, t.service}[side].appl.pongs
		}
		sent, received, answered := int(counted["holdfast_app_pings_sent_total"+label]), int(counted["holdfast_app_pongs_received_total"+label]), int(counted["holdfast_app_pings_answered_total"+label])
		if sent < c.pings-len(w.talks) || w.allClean() && sent > c.pings+len(w.talks) {
			w.fails("%d pings of applications are counted as sent to%ss, and %d have come", sent, label, c.pings)
		}
		if received < c.answers || received > pongs {
			w.fails("%d answers of applications are counted as received from%ss, and they were %d of %d", received, label, c.answers, pongs)
		}
		if answered < c.told || answered > c.asks {
			w.fails("%d messages of%ss are counted as answered, of %d, and %d answers have come", answered, label, c.asks, c.told)
		}
	}
}

// allClean reports whether no session has a peer that breaks anything, and nothing else is
// late.
func (w *World) allClean() bool {
	for _, t := range w.talks {
		if !t.clean || t.client.brokeAt != never || t.service.brokeAt != never || t.ended == nil && t.opened {
			return false
		}
	}
	return true
}
