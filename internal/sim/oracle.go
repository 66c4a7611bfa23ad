package main

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"holdfast/metrics"
	"holdfast/proxy"
)

// sessionEnded is told by the proxy how a session has ended, and judges that.
func (w *World) sessionEnded(e *proxy.Ended) {
	w.ended = append(w.ended, e)
	what := "closed by " + e.Side.String()
	if !e.Closed {
		what = dropped(e.Side, e.Reason)
	}
	w.see(what)
	w.tells("%24s session %s is %s (%s) after %v", "", e.Path, what, e.Detail, e.Duration)
	i, err := strconv.Atoi(strings.TrimPrefix(e.Path, "/"))
	if err != nil || i >= len(w.talks) {
		w.fails("a session of nobody's has ended: %q", e.Path)
		return
	}
	t := w.talks[i]
	if t.ended != nil {
		w.fails("the session of client %d has ended twice", i)
	}
	t.ended, t.endedAt = e, w.now
	t.judgesFaulty(e)
	if h := t.host; h == nil || e.Address != h.at.String() || bareName(e.Upstream) != h.site.name {
		w.fails("session %d ends at %s (%s), and was somewhere else", i, e.Upstream, e.Address)
	} else {
		w.outlives(h)
	}
	t.judgesOperated(e)
	if e.Closed {
		return
	}
	if t.movesData(e) {
		w.fails("session %d ends as idle, and data moved %v before", i, w.now-t.saidAt[1])
	}
	if !metrics.LegalDrop(e.Side, e.Reason) {
		w.fails("client %d: %v may not be dropped for %v", i, e.Side, e.Reason)
	}
	switch e.Side {
	case client:
		t.judges(e, t.client)
	case service:
		t.judges(e, t.service)
	default:
		t.judgesOwn(e)
	}
}

// outlives notes a session of a target that gets none any more.
func (w *World) outlives(h *host) {
	if h.known == never {
		w.see("session of a target that has gone")
	}
	if h.drained != never {
		w.see("session of a target that is drained")
	}
}

// judges holds a drop against what the peer at fault has done.
func (t *talk) judges(e *proxy.Ended, p *peer) {
	if e.Reason == metrics.PingTimeout && e.Detail == appTimeout {
		t.judgesApp(p)
		return
	}
	if p.brokeAt != never {
		t.found(e, p)
		if e.Reason == metrics.PingTimeout {
			t.mayTimeOut(p)
		}
		return
	}
	if t.w.excused(e.Reason) || e.Reason == metrics.CloseTimeout && (p.isBehind() || p.hoards() || p.side == client && !t.w.plan.keepsPace(t.plan)) {
		t.w.see("excused " + e.Reason.String())
		return
	}
	t.w.fails("%v %d is dropped for %v (%s), and has done nothing wrong", p.side, t.number, e.Reason, e.Detail)
}

// complaints is a log in which an error of the proxy's own is a broken promise.
type complaints struct{ w *World }

func (c complaints) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}
func (c complaints) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c complaints) WithGroup(string) slog.Handler      { return c }

func (c complaints) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "panic" && c.w.panicking.count > 0 {
		return nil
	}
	faults := c.w.seen["fault poller"] + c.w.seen["fault detach"] + c.w.panicking.count
	if faults > 0 && (r.Message == "internal error" || r.Message == "pass refusal on" || r.Message == "handshake failed") {
		return nil
	}
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	c.w.fails("the proxy logs an error: %s", text)
	return nil
}

// excused reports whether the network may be the cause that a peer which keeps to the
// rules is too late.
func (w *World) excused(r metrics.Reason) bool {
	f, k := &w.plan.Faults, &w.plan.Knobs
	switch r {
	case metrics.PingTimeout:
		return f.Stalls > 0 && k.Timeout < 10*time.Second
	case metrics.CloseTimeout:
		return f.Stalls > 0 && k.Close < 10*time.Second
	default:
		return false
	}
}

// isBehind reports whether a peer's Close waits behind what it has sent before, which the
// other peer has not taken.
func (p *peer) isBehind() bool {
	return p.wasBehind || p.closing && (p.out.len() > 0 || !p.gone() && (p.s.hasUnsent() || p.s.Unacked() > 0))
}

// isUnread reports whether the proxy has not read all that a peer has sent.
func (p *peer) isUnread() bool {
	if ours := p.s.Peer(); p.gone() || ours.Closed() || ours.Unread() == 0 {
		return p.isBehind()
	}
	return true
}

// hoards reports whether a peer reads slowly what its TCP or TLS has taken: a Close that
// has reached it then waits behind whole records, or behind a full inbox.
func (p *peer) hoards() bool {
	k := &p.w.plan.Knobs
	if p.plan.Rate == 0 {
		return false
	}
	inbox := time.Duration(k.Inbox) * time.Second / time.Duration(p.plan.Rate)
	return p.s.sealed && k.Close < 10*time.Second || inbox >= k.Close
}

// found checks that a dead peer has been found in time.
func (t *talk) found(e *proxy.Ended, p *peer) {
	if within, known := t.w.bound(p); known {
		if took := t.w.now - max(p.brokeAt, p.deadAt); took > within {
			t.w.fails("%v %d was dead for %v until its session ended, %v at the most are allowed", p.side, t.number, took, within)
		}
	}
}

// bound is how long after its death a peer's session may last, if the proxy can know.
func (w *World) bound(p *peer) (d time.Duration, known bool) {
	k := &w.plan.Knobs
	if p.side == client && !w.plan.keepsPace(p.talk.plan) {
		return 0, false // its end lies behind what is read slowly
	}
	if p.frozen != never || k.Interval == 0 || k.Timeout == 0 || p.side == service && k.UpstreamPong != "require" {
		return 0, false
	}
	if p.other.halts && (k.Timeout == 0 || p.side == client && k.UpstreamPong != "require") {
		return 0, false // no ping can be sent inside the frame, and its sender may take its time
	}
	d = k.Interval*5/4 + k.Timeout*3/2 + k.Write + 2*k.Close + 4*w.plan.Faults.Slow + 2*time.Second
	if f := &w.plan.Faults; f.Short+f.Again > 0 {
		d += 2 * k.Write // tails that the fault has made have such a time of their own
	}
	if w.plan.Faults.Stalls > 0 {
		d += 5 * time.Second
	}
	if w.plan.Faults.Stopped > 0 {
		d += 3 * time.Minute
	}
	return d, true
}

// judgesOwn holds an end of the proxy's own against its configuration.
func (t *talk) judgesOwn(e *proxy.Ended) {
	w, legal := t.w, false
	switch e.Reason {
	case metrics.IdleTimeout:
		legal = w.plan.Knobs.Idle > 0 && e.Duration >= w.plan.Knobs.Idle
	case metrics.MaxDuration:
		legal = w.plan.Knobs.Oldest > 0 && e.Duration >= w.plan.Knobs.Oldest*9/10
	case metrics.Drain:
		legal = w.stopping || t.host != nil && w.now >= t.host.retired
	case metrics.Admin:
		legal = t.operator.asked
	case metrics.Internal:
		legal = w.seen["fault poller"] > 0 || t.faulty
	default: // a peer's reason is not the proxy's own
	}
	if !legal {
		w.fails("the session of %s ends for %v (%s), without a reason for that", e.Path, e.Reason, e.Detail)
	}
}

// Run plays a plan to its end, and returns the promises that were broken.
func (w *World) Run() []error {
	w.plansDrain()
	w.runUntil(w.now + w.plan.length())
	w.calm = true
	w.runUntil(w.now + calmTime)
	w.wantsEnds()
	w.wantsPool()
	w.stops()
	w.runUntil(w.now + w.plan.drainTime() + time.Second)
	w.cutsAll()
	w.runUntil(w.now + time.Minute)
	if len(w.wrong) == 0 {
		w.wantsNothingLeft()
		w.wantsEven()
		for _, t := range w.talks {
			t.wantsAll()
			t.wantsCodes()
			t.wantsLastWord()
			t.wantsMiss()
		}
	}
	w.proxy.Close()
	w.returns()
	return w.wrong
}

// calmTime is how long faults have stopped, and nobody does anything new, before all that is
// dead must be gone.
const calmTime = 10 * time.Minute

// length is how long the plan's actions take.
func (p *Plan) length() (longest time.Duration) {
	for _, c := range p.Sessions {
		for _, a := range []Actor{c.Client, c.Service} {
			d := c.At + 15*time.Second
			for _, do := range a.Does {
				d += do.After + time.Second
				if do.Kind == Drags {
					d += time.Minute
				}
				if do.Kind == Stops {
					d += time.Duration(do.Size) * time.Millisecond
				}
			}
			longest = max(longest, d)
		}
	}
	if d := &p.Drain; d.At > 0 {
		longest = max(longest, d.At+d.Delay+p.Spread)
	}
	for _, t := range p.Troubles {
		longest = max(longest, t.At+t.For)
	}
	return longest
}

// wantsEnds: nothing was healed, and all that can be known to be dead is gone.
func (w *World) wantsEnds() {
	for _, t := range w.talks {
		if !t.opened || t.ended != nil {
			continue
		}
		for _, p := range []*peer{t.client, t.service} {
			if _, known := w.bound(p); known {
				w.fails("%v %d has been dead since %v, and its session still lives", p.side, t.number, p.brokeAt-epoch)
			}
		}
	}
}

// wantsNothingLeft: all descriptors, clients and counts are given back.
func (w *World) wantsNothingLeft() {
	if held, counted, open := w.proxy.Held(), w.proxy.Clients(), w.machine.Open(); held != 0 || counted != 0 || open != 0 {
		w.fails("%d sessions are held, %d clients counted and %d descriptors open at the end", held, counted, open)
	}
	if kept := w.proxy.Kept(); kept != 0 {
		w.fails("a drain waits for %d clients at the end", kept)
	}
	if permits := w.proxy.Permits(); permits != 0 {
		w.fails("%d permits are taken at the end", permits)
	}
	families, err := w.metrics.Registry().Gather()
	if err != nil {
		w.fails("metrics: %v", err)
	}
	sum := map[string]float64{}
	var counted []count
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if strings.HasPrefix(f.GetName(), "holdfast_upstream_") && m.Counter != nil {
				c := count{f.GetName(), map[string]string{}, int(m.GetCounter().GetValue())}
				for _, l := range m.GetLabel() {
					c.labels[l.GetName()] = l.GetValue()
				}
				counted = append(counted, c)
			}
			switch {
			case m.Counter != nil:
				sum[f.GetName()] += m.GetCounter().GetValue()
				for _, l := range m.GetLabel() {
					if l.GetName() == "side" || l.GetName() == "result" {
						sum[f.GetName()+" "+l.GetValue()] += m.GetCounter().GetValue()
					}
				}
			case m.Gauge != nil:
				sum[f.GetName()] += m.GetGauge().GetValue()
			}
		}
	}
	opened := sum["holdfast_sessions_opened_total"]
	if ends := sum["holdfast_sessions_closed_total"] + sum["holdfast_sessions_dropped_total"]; opened != ends || int(opened) != len(w.ended) {
		w.fails("%v sessions were opened, %v ends are counted and %d told", opened, ends, len(w.ended))
	}
	handshakes, want := int(sum["holdfast_handshakes_total"]), w.accepted-w.served+w.rejoined
	if handshakes > want || handshakes < want-w.panicking.count { // a panic may come before the count
		w.fails("%v handshakes are counted, and there were %d", handshakes, want)
	}
	if counted := int(sum["holdfast_handshakes_total draining"]); counted < w.drain.refused-w.panicking.count {
		w.fails("%d handshakes are counted as refused in a drain, and %d clients were told so", counted, w.drain.refused)
	}
	if sum["holdfast_draining"] != 1 {
		w.fails("the proxy has drained, and holdfast_draining does not say so")
	}
	if counted := int(sum["holdfast_panics_total"]); counted != w.panicking.count {
		w.fails("%d panics are counted, and there were %d", counted, w.panicking.count)
	}
	w.wantsNothingCounted(counted)
	w.wantsAppCounts(sum)
	w.wantsThrottles(sum)
	if jobs := len(w.jobs) - w.checks; jobs+w.besides > 0 {
		w.fails("%d jobs and %d connections are left beside the loops", jobs, w.besides)
	}
	if seats := w.proxy.Seats(); seats != 0 {
		w.fails("%d addresses have seats at the end", seats)
	}
	for _, gauge := range []string{"holdfast_sessions_active", "holdfast_buffered_bytes", "holdfast_reads_paused", "holdfast_upstream_sessions_active"} {
		if sum[gauge] != 0 {
			w.fails("%s is %v at the end", gauge, sum[gauge])
		}
	}
}

// wantsAll: if the peers closed their session with each other, each has got all that the
// other sent.
func (t *talk) wantsAll() {
	if t.ended == nil || !t.ended.Closed {
		return
	}
	for _, p := range []*peer{t.client, t.service} {
		if p.brokeAt != never || p.other.brokeAt != never {
			continue
		}
		if t.w.plan.Knobs.Forward && p.passed != [2]int{len(p.other.pinged), len(p.other.ponged)} {
			t.w.fails("%v %d got %v pings and pongs, and %d and %d were sent", p.side, t.number, p.passed, len(p.other.pinged), len(p.other.ponged))
		}
		if p.received() != len(p.other.sent) {
			t.w.fails("%v %d got %d of %d bytes, and the session was closed", p.side, t.number, p.received(), len(p.other.sent))
		}
		if counted := t.ended.Legs[p.side].Frames; counted != uint64(p.reader.frames) {
			t.w.fails("%v %d has said %d data frames, and %d are counted", p.side, t.number, p.reader.frames, counted)
		}
	}
}
