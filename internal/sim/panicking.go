package main

import (
	"holdfast/internal/sim/kernel"
	"holdfast/metrics"
	"holdfast/proxy"
)

// A call of the kernel panics in the middle of a loop's turn. What must hold afterwards is
// what proxy/panic.go says: the session that the loop was busy with ends as internal, the
// others go on, and the panic is counted.

// panicking is what a world knows of the panics.
type panicking struct {
	count  int
	inTurn bool // a loop has its turn
	struck bool // a call has panicked in this turn
}

func (p *panicking) begins() { p.inTurn, p.struck = true, false }
func (p *panicking) ends()   { p.inTurn = false }

// mayPanic lets a call of a loop panic. What ends a session that has panicked may panic
// again. What lets the listener rest may not: then the loop ends, and is meant to.
func (w *World) mayPanic(call string, s *kernel.Socket) {
	p := &w.panicking
	if !p.inTurn || s == nil && p.struck || !w.chance(w.plan.Faults.Panic, "panic") {
		return
	}
	p.struck = true
	p.count++
	if s != nil {
		w.strikes(s)
	}
	panic("invented panic in " + call)
}

// strikes notes whose connection it was that a call has panicked for. A handshake's that
// the service does not know yet is nobody's.
func (w *World) strikes(s *kernel.Socket) {
	for _, t := range w.talks {
		for _, p := range []*peer{t.client, t.service} {
			if p.s != nil && p.s.Number() == s.Number() {
				t.struck()
				return
			}
		}
	}
}

// struck: the session has panicked, and has to end.
func (t *talk) struck() {
	if t.service.open && t.client.goesOn() && t.service.goesOn() && t.w.plan.Faults.Stalls == 0 { // a stall may have made a peer late
		t.strikes = true
	}
	t.faulty = true
	opened, bound := t.opened, t.w.plan.endTime()
	for _, p := range []*peer{t.client, t.service} {
		p.brokeNow() // nothing more is wanted of the session
		t.w.after(bound, func() {
			if p.s != nil && !p.s.Peer().Closed() || opened && t.ended == nil {
				t.w.fails("the session of client %d goes on %v after a panic", t.number, bound)
			}
		})
	}
}

// judgesFaulty: a session that has panicked in its prime ends by the proxy's fault.
func (t *talk) judgesFaulty(e *proxy.Ended) {
	if t.strikes && e.Detail != appTimeout && (e.Closed || e.Side != metrics.Proxy) { // such an end may have begun in the same turn
		t.w.fails("the session of client %d has panicked, and %v is at fault", t.number, e.Side)
	}
}
