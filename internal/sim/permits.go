package main

import "strings"

// A newcomer is refused for the limit on sessions only while other clients have all of the
// permits. From outside nobody sees who has one. So a client counts for as long as it may
// have one, and for each client that waits for its answer the world keeps how many others
// counted at most.

// mayHavePermit reports whether, for all that shows outside, a client may have a permit.
func (t *talk) mayHavePermit() bool {
	c, s := t.client, t.service
	upstream := s.s != nil && !s.s.Peer().Closed()
	switch {
	case c.s == nil:
		return false // it has not come
	case t.opened, c.refused, c.s.Peer().Closed():
		return upstream // with that closed, nothing but its own TCP is waited for
	default:
		return t.pages == 0 || t.rejoins
	}
}

// wantsPermit is called when a client that wants a permit comes, and when all of its request
// is sent: it is not refused before.
func (t *talk) wantsPermit() {
	all := 0
	for _, other := range t.w.talks {
		if other.mayHavePermit() {
			all++
		}
	}
	t.others = 0
	for _, other := range t.w.talks {
		if other.mayHavePermit() {
			other.others = max(other.others, all-1)
		}
	}
}

// limit is what the 503 says that is sent for want of a permit.
const limit = "at its limit of sessions"

// isFull checks, when a client has read its refusal, that it was not refused for want of a
// permit while one was free.
func (t *talk) isFull(refusal string) {
	k, f := &t.w.plan.Knobs, &t.w.plan.Faults
	if !strings.Contains(refusal, limit) || t.plan.Opening == AsksPage && !t.rejoins {
		return
	}
	t.w.see("no permit")
	if k.Clients > 0 || f.Connect+f.Panic > 0 {
		return // there may be no descriptor, or no port to dial from
	}
	permits := k.Sessions
	if permits == 0 {
		permits = clients
	}
	if t.others < permits {
		t.w.fails("client %d is refused for want of a permit, and at most %d of %d were taken", t.number, t.others, permits)
	}
}
