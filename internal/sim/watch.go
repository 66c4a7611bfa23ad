package main

import (
	"time"

	"holdfast/metrics"
	"holdfast/proxy"
)

// What the proxy has to do in time is checked with an event at the time at which it must
// have been done. Exact bounds hold where nothing but the proxy can be late: see isClean.

// isClean reports whether nothing in the plan delays a conversation: no peer that reads
// slowly, rests or floods, and no fault of the network or of the machine.
func (p *Plan) isClean(c *Conversation) bool {
	return p.isPrompt(c) && p.Faults.Stopped == 0 && p.Faults.Poller == 0
}

// isPrompt reports the same, but for stops of the process and faults of the poller.
func (p *Plan) isPrompt(c *Conversation) bool {
	if p.Faults.Stalls > 0 || p.hangs() || !p.keepsPace(c) {
		return false
	}
	for _, a := range c.actors() {
		if a.Rate > 0 || a.Heap > 0 {
			return false
		}
		for _, do := range a.Does {
			if do.Kind == Floods || do.Kind == Stops || do.Kind == Breaks {
				return false
			}
		}
	}
	return true
}

// lag is how late anything may be that goes once to the proxy and on to the other peer:
// the latency of each way there and back, a frame that the other peer is in the middle of,
// and some turns.
func (t *talk) lag() time.Duration {
	d := 4*t.w.plan.Faults.Slow + 100*time.Millisecond
	for _, a := range t.plan.actors() {
		for _, do := range a.Does {
			if do.Kind == Begins || do.Size > 4000 && isMessage(do.Kind) { // it may need many round trips through a small window
				return d + 2*time.Second + 40*t.w.plan.Faults.Slow
			}
		}
	}
	return d
}

// goesOn reports whether a session is open for a peer and, for all that is known, on both
// sides: nobody has begun its end.
func (p *peer) goesOn() bool {
	t := p.talk
	return t.opened && t.ended == nil && !t.stops() && !p.ending() && !p.other.ending()
}

// ending reports whether a peer has sent or got the end of its session, or is at fault.
func (p *peer) ending() bool {
	return p.closing || p.hasClose || p.ended || p.brokeAt != never || p.gone()
}

// later checks something after a time and, if it seems wrong, once more: an end of the
// session may be on its way to the peers.
func (t *talk) later(d time.Duration, check func() bool, wrong string, args ...any) {
	t.w.after(d, func() {
		if check() {
			return
		}
		t.w.after(t.lag(), func() {
			if !check() {
				t.w.fails(wrong, args...)
			}
		})
	})
}

// watches begins with the session: it is over in time.
func (t *talk) watches() {
	k := &t.w.plan.Knobs
	if !t.clean {
		return
	}
	if k.Oldest > 0 {
		t.later(k.Oldest*11/10+t.closeWait(t.client)+t.lag(), func() bool { return !t.client.goesOn() },
			"session %d is older than its limit", t.number)
	}
	t.carries()
	for _, p := range []*peer{t.client, t.service} {
		p.awaitsPing()
		p.awaitsAppPing()
	}
}

// closeWait is how long a Close of ours to a peer may wait for the end of a message.
func (t *talk) closeWait(p *peer) time.Duration {
	if p.other.plan.drags() {
		return t.w.plan.Knobs.Close / 2
	}
	return 0
}

// carries notes that data moved, and that the session may be idle from now on.
func (t *talk) carries() {
	idle := t.w.plan.Knobs.Idle
	if idle == 0 || !t.clean {
		return
	}
	t.moved++
	moves := t.moved
	t.later(idle+t.closeWait(t.client)+t.lag(), func() bool { return t.moved != moves || !t.client.goesOn() },
		"session %d is idle for longer than its limit", t.number)
}

// awaitsPing checks that the next ping comes within the interval. In the middle of a
// message it may wait for a quarter of that.
func (p *peer) awaitsPing() {
	t, k := p.talk, &p.w.plan.Knobs
	if k.Interval == 0 || !t.clean {
		return
	}
	pings := p.pings
	late := k.Interval*5/4 + p.plan.Answers + t.lag()
	t.later(late, func() bool { return p.pings != pings || !p.goesOn() },
		"%v %d is not pinged within %v", p.side, t.number, late)
}

// hasPing checks that pings do not come too often, and waits for the next.
func (p *peer) hasPing() {
	p.mayHavePing()
	p.pings++
	if p.pings > 1 && p.talk.clean {
		if gap := p.w.now - p.pingAt; gap < p.w.plan.Knobs.Interval*9/10-p.talk.lag() {
			p.w.fails("%v %d is pinged %v after the ping before", p.side, p.talk.number, gap)
		}
	}
	p.pingAt = p.w.now
	p.awaitsPing()
}

// awaitsPong checks that the peer's latest ping is answered soon.
func (p *peer) awaitsPong() {
	t := p.talk
	if !t.clean || p.w.plan.Knobs.Forward || !t.opened {
		return
	}
	asked, wait := len(p.pinged), t.lag()
	if p.other.plan.drags() {
		wait += p.w.plan.Knobs.pongWait()
	}
	t.later(wait, func() bool { return p.answered >= asked || !p.goesOn() },
		"%v %d has no answer to its ping %d", p.side, t.number, asked)
}

// dies makes a peer silent for ever, and checks that the other is told in time.
func (p *peer) dies() {
	if p.frozen == never {
		return
	}
	p.tells("is dead from now on")
	t, k := p.talk, &p.w.plan.Knobs
	within, known := p.found()
	idle := p.goesOn() && p.open && p.other.open && len(p.rest) == 0 && len(p.other.rest) == 0
	p.brokeNow()
	p.frozen, p.deadAt = never, p.w.now
	p.halts = p.halts || len(p.rest) > 0 || p.out.len() > 0
	if !known || !idle {
		return
	}
	had := len(p.other.sent) - p.received()
	t.w.after(within, func() {
		if p.other.ending() || t.ended != nil || t.stops() {
			return
		}
		if more := len(p.other.sent) - p.received() - had; more > min(k.Buffer, k.Inbox)/4 {
			return // WRITE_TIMEOUT bounds it
		}
		t.w.fails("%v %d is dead for %v, and the other side does not know", p.side, t.number, within)
	})
}

// found is how long after its last word a dead peer is found, if the proxy can know.
func (p *peer) found() (within time.Duration, known bool) {
	t, k := p.talk, &p.w.plan.Knobs
	if !t.clean || k.Interval == 0 || k.Timeout == 0 || p.side == service && k.UpstreamPong != "require" {
		return 0, false
	}
	within = k.Interval + k.Timeout*101/100 + t.lag()
	if p.other.plan.drags() { // a ping waits for the end of a message, and so does a Close
		within += k.Interval / 4
	}
	if p.plan.drags() {
		within += k.Close / 2
	}
	return within, true
}

// mayTimeOut checks that a peer which is dropped for a pong had its whole time.
func (t *talk) mayTimeOut(p *peer) {
	if !t.clean || p.deadAt == 0 {
		return
	}
	if silent := t.w.now - p.deadAt + p.plan.Answers + t.lag(); silent < t.w.plan.Knobs.Timeout {
		t.w.fails("%v %d is dropped %v after its last word", p.side, t.number, t.w.now-p.deadAt)
	}
}

// awaitsEcho checks that a peer's Close is answered in time, if only by its own code.
func (p *peer) awaitsEcho() {
	t := p.talk
	if !t.clean || !t.opened {
		return
	}
	t.later(2*t.w.plan.Knobs.Close+t.lag(), func() bool { return p.hasClose || p.ended || p.gone() || p.brokeAt != never || p.out.len() > 0 },
		"%v %d has sent its Close, and nothing comes back", p.side, t.number)
}

// awaitsEnd checks that the proxy ends TCP once a client has sent and got its Close.
func (p *peer) awaitsEnd() {
	t := p.talk
	if t.clean && t.opened {
		t.later(t.lag(), func() bool { return p.ended || p.gone() || p.brokeAt != never || p.isUnread() },
			"%v %d has sent and got a Close, and its TCP goes on", p.side, t.number)
	}
}

// wantsEnd checks that a session is over some time after a peer saw its end, be
// the others as they may.
func (p *peer) wantsEnd() {
	t := p.talk
	if p.watched {
		return
	}
	p.watched = true
	bound := t.w.plan.endTime()
	t.w.after(bound, func() {
		if t.opened && t.ended == nil && !t.faulty {
			t.w.fails("the session of client %d goes on %v after the %v saw its end", t.number, bound, p.side)
		}
	})
}

// endTime is how long the end of a session takes at the most.
func (p *Plan) endTime() time.Duration {
	d := 10*p.Knobs.Write + 3*p.Knobs.Close + 5*time.Second
	if p.Faults.Stopped > 0 {
		d += 3 * time.Minute
	}
	return d
}

// awaitsAnswer checks that a client is told something, or let go.
func (t *talk) awaitsAnswer() {
	k := &t.w.plan.Knobs
	bound := 5*k.HandshakeTimeout + 4*k.Close + 40*time.Second
	if t.w.plan.Faults.Stopped > 0 {
		bound += 3 * time.Minute
	}
	t.w.after(bound, func() {
		if c := t.client; !c.open && !c.ended && !c.gone() && !c.refused && t.pages == 0 {
			t.w.fails("client %d has no answer after %v", t.number, bound)
		}
	})
	if t.mustOpen() {
		t.w.after(k.HandshakeTimeout, func() {
			if c := t.client; !c.open && !t.stops() {
				t.w.fails("client %d has no session after %v, and nothing was in its way", t.number, k.HandshakeTimeout)
			}
		})
	}
}

// mustOpen reports whether nothing is in the way of a handshake.
func (t *talk) mustOpen() bool {
	f, k := &t.w.plan.Faults, &t.w.plan.Knobs
	return t.plan.Opening == Opens && f.Accept+f.Connect+f.Poller+f.Stalls+f.Stopped+f.Panic == 0 &&
		k.PerIP == 0 && !k.ClientTLS && !k.ServiceTLS && !t.w.plan.isPool() && k.Clients == 0 && k.Sessions == 0 &&
		t.w.plan.queueTime() < k.HandshakeTimeout/2
}

// queueTime is about how long the last of all clients waits for a place, if they come
// together: each of those before it has the place for one connect.
func (p *Plan) queueTime() time.Duration {
	before := (len(p.Sessions) - 1) / max(1, p.Knobs.Places)
	return time.Duration(before) * (2*p.Faults.Slow + 10*time.Millisecond)
}

// freesUpstream checks that the service is let go soon after the client has left.
func (t *talk) freesUpstream() {
	f := &t.w.plan.Faults
	if f.Stalls+f.Stopped+f.Poller+f.Accept > 0 {
		return
	}
	t.w.after(6*f.Slow+100*time.Millisecond, func() {
		if s := t.service; !t.opened && s.s != nil && !s.s.Peer().Closed() && !s.hasClose {
			t.w.fails("client %d has left, and the service still has its handshake", t.number)
		}
	})
}

// movesData reports whether an end for idleness comes while data moves.
func (t *talk) movesData(e *proxy.Ended) bool {
	said := t.saidAt[1]
	if t.w.now-said < t.lag() {
		said = t.saidAt[0]
	}
	return t.clean && e.Reason == metrics.IdleTimeout && t.w.now-said < t.w.plan.Knobs.Idle
}
