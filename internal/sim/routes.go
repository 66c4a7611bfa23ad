package main

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/sim/kernel"
	"holdfast/proxy"
)

// A handshake's way to a target is held against what the world knows about the hosts at each
// dial, and once more when the client is told that no target could be reached.

// dialTimeout is HOLDFAST_DIAL_TIMEOUT, and dialShare what each target may use of it.
const (
	dialTimeout = 5 * time.Second
	dialShare   = dialTimeout / 5
)

// A dial is one connect to the service.
type dial struct {
	host  *host
	at    time.Duration
	works bool          // it comes through
	by    time.Duration // when it has come through
}

// A miss is the proxy's word that the service cannot be reached, and which hosts it has not
// tried although they were in use since the client asked.
type miss struct {
	at      time.Duration // 0: there is none
	untried []*host
	text    []byte // of the refusal
}

// talkOf returns the conversation whose client asked for a path, or nil.
func (w *World) talkOf(path string) *talk {
	i, err := strconv.Atoi(strings.TrimPrefix(path, "/"))
	if err != nil || i >= len(w.talks) {
		return nil
	}
	return w.talks[i]
}

// judgesDial holds a dial against those before it and against what is known about hosts.
func (w *World) judgesDial(h *host, o *kernel.Outcome) {
	t := w.talkOf(w.proxy.Serves(w.turning))
	if t == nil {
		w.fails("%v is dialled for nobody", h.at)
		return
	}
	if slices.ContainsFunc(t.dials, func(d dial) bool { return d.host == h && h.known <= d.at }) {
		w.fails("%v is dialled twice for client %d", h.at, t.number)
	}
	if w.plan.isPool() {
		w.see("balance " + w.plan.Knobs.Balance)
	}
	if len(t.dials) > 0 {
		w.see("failover")
		if last := &t.dials[len(t.dials)-1]; last.works && !last.host.tls && w.now > last.by+dialShare && w.plan.Faults.Stopped == 0 {
			w.fails("%v is dialled for client %d, which was connected to %v", h.at, t.number, last.host.at)
		}
		if late := w.now - t.dials[0].at; late >= dialTimeout {
			w.fails("%v is dialled for client %d %v after the first target", h.at, t.number, late)
		}
	}
	if h.known == never {
		w.fails("%v is dialled for client %d, and its name does not lead there", h.at, t.number)
	}
	if h.drained != never {
		w.fails("%v is dialled for client %d, and was drained at %v", h.at, t.number, h.drained-epoch)
	}
	t.isBest(h)
	works := o.Now == nil && o.Fails == 0 && !o.Silent
	t.dials = append(t.dials, dial{h, w.now, works, w.now + o.After})
}

// isBest checks that no other target is up while the one that is dialled is down.
func (t *talk) isBest(h *host) {
	w := t.w
	if !w.plan.isPool() || w.plan.Knobs.Places == 1 { // a target may go down and come back while the handshake is in a queue
		return
	}
	all := w.proxy.Targets()
	if !slices.ContainsFunc(all, func(s proxy.TargetStatus) bool {
		return s.State == proxy.TargetDown && s.Address == h.at.String()
	}) {
		return
	}
	w.see("dial to a target that is down")
	for _, s := range all {
		at, err := netip.ParseAddrPort(s.Address)
		other := w.hostAt(at)
		if err != nil || other == nil || s.State != proxy.TargetUp || !other.isFresh(w.now) {
			continue
		}
		if !slices.ContainsFunc(t.dials, func(d dial) bool { return d.host == other }) {
			w.fails("%v is dialled for client %d although it is down and %v is up", h.at, t.number, at)
		}
	}
}

// asks begins a handshake.
func (t *talk) asks() {
	t.askedAt = t.w.now
	t.may = t.may[:0]
	for _, s := range t.w.sites {
		for _, h := range s.hosts {
			if h.known != never && h.isFresh(t.w.now+addressesOld/2) {
				t.may = append(t.may, h)
			}
		}
	}
}

// misses begins the proxy's word to a client that there is no session.
func (t *talk) misses() {
	t.miss.at = t.w.now
	for _, h := range t.may {
		tried := slices.ContainsFunc(t.dials, func(d dial) bool { return d.host == h })
		if !tried && h.inUseSince(t.askedAt) {
			t.miss.untried = append(t.miss.untried, h)
		}
	}
}

// noTarget are the texts of refusals that say that no target could be reached.
var noTarget = []string{"No upstream can be reached", "The upstream cannot be reached", "The upstream did not answer in time"}

// wantsMiss checks that a client which was told that no target could be reached was told the
// truth: all targets were tried, and none has worked.
func (t *talk) wantsMiss() {
	w, f := t.w, &t.w.plan.Faults
	told := slices.ContainsFunc(noTarget, func(text string) bool { return strings.Contains(string(t.miss.text), text) })
	if !told || t.asked != nil || t.faulty || f.Poller+f.Panic+f.Stopped > 0 {
		return
	}
	w.see("no target is reached")
	alone := w.plan.Knobs.Places > 1 || len(w.plan.Sessions) == 1
	alone = alone && !slices.ContainsFunc(t.dials, func(d dial) bool { return !slices.Contains(t.may, d.host) }) // newcomers take shares, too
	for _, h := range t.miss.untried {
		if alone && len(t.dials) < int(dialTimeout/dialShare) {
			w.fails("client %d is told that its service cannot be reached, and %v was not tried", t.number, h.at)
		}
	}
	for _, d := range t.dials {
		if !slices.Contains(t.may, d.host) { // a lookup has used up a part of the time
			continue
		}
		if limit := min(d.at+dialShare, t.dials[0].at+dialTimeout); d.works && d.by+time.Millisecond < limit && d.host.worksSince(t.askedAt) {
			w.fails("client %d is told that its service cannot be reached, and %v has answered in time", t.number, d.host.at)
		}
	}
	if limit := t.askedAt + t.missTime(); alone && t.miss.at > limit {
		w.fails("client %d is told after %v that its service cannot be reached", t.number, t.miss.at-t.askedAt)
	}
}

// missTime is how long a handshake may take that reaches no target, if it is in no queue.
func (t *talk) missTime() time.Duration {
	return dialTimeout + t.w.plan.Knobs.HandshakeTimeout + 8*t.w.plan.Faults.Slow + time.Second
}
