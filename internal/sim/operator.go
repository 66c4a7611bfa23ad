package main

import (
	"strconv"
	"time"

	"holdfast/metrics"
	"holdfast/proxy"
)

// An operator finds a session in the list of all, and closes it. From that moment on
// nothing else may be its end, unless the end had begun before.

// An operated session is what an operator has asked for, and what came of it.
type operated struct {
	asked  bool // the session is to end
	closed bool // it was live when its loop was told
}

// awaitsOperator lets the operator come, if one is to come in this conversation.
func (t *talk) awaitsOperator() {
	if t.plan.Operator > 0 {
		t.w.after(t.plan.Operator, t.meetsOperator)
	}
}

func (t *talk) meetsOperator() {
	w := t.w
	if w.calm {
		return
	}
	w.see("operator")
	s, listed := w.listed(t.number)
	switch {
	case !listed && t.ended == nil && !t.faulty:
		w.fails("the session of client %d is open, and is not listed", t.number)
	case !listed:
	case t.ended != nil:
		w.fails("the session of client %d has ended, and is listed", t.number)
	default:
		w.tells("%24s an operator closes session %d", "", t.number)
		t.operator.asked = true
		w.proxy.CloseSession(s.ID, func(was proxy.SessionStatus) { t.told(was) })
	}
}

// listed returns the session of a client as the proxy lists it.
func (w *World) listed(client int) (s proxy.SessionStatus, is bool) {
	path := "/" + strconv.Itoa(client)
	list := w.proxy.SessionList(proxy.SessionQuery{Order: proxy.ByAge, Filter: path, Limit: len(w.talks)})
	for _, s := range list.Sessions {
		if s.Path == path {
			return s, true
		}
	}
	return s, false
}

// told is called in the turn in which the session is closed.
func (t *talk) told(was proxy.SessionStatus) {
	if was.Path != "/"+strconv.Itoa(t.number) {
		t.w.fails("an operator closes the session of client %d, and meets %s", t.number, was.Path)
	}
	if was.State != proxy.SessionLive {
		return
	}
	t.w.see("operator closes a live session")
	t.operator.closed = true
	bound := t.w.plan.endTime()
	t.w.after(bound, func() {
		if t.ended == nil && !t.faulty {
			t.w.fails("the session of client %d goes on %v after an operator has closed it", t.number, bound)
		}
	})
}

// judgesOperated: what an operator has closed ends for that reason, and nothing else does.
func (t *talk) judgesOperated(e *proxy.Ended) {
	is := !e.Closed && e.Side == metrics.Proxy && e.Reason == metrics.Admin
	switch {
	case is && !t.operator.asked:
		t.w.fails("the session of client %d ends for an operator, and none has asked", t.number)
	case !is && t.operator.closed && !t.faulty:
		t.w.fails("an operator has closed the session of client %d, and it ends for %v %v (%s)", t.number, e.Side, e.Reason, e.Detail)
	}
}

// stops reports whether the proxy may end the session of itself: it stops, or an operator
// has asked.
func (t *talk) stops() bool { return t.w.stopping || t.operator.asked }

// drawsOperators draws which sessions an operator closes, and when.
func (p *Plan) drawsOperators() {
	rnd := stream(p.Seed, 7)
	for i := range p.Sessions {
		p.Sessions[i].Operator = seldom(rnd, 8, 1+spread(rnd, oneOf(rnd, time.Second, 30*time.Second)))
	}
}
