package heartbeat

import (
	"slices"
	"testing"
	"time"
)

// stateModel is a State told the long way: every ping kept, the next ping and the
// deadline apart. Unlike State it could get into a contradiction.
type stateModel struct {
	rules    Rules
	open     []ping // oldest first
	owes     bool   // the latest ping has a deadline and no answer
	asked    Time   // since when its whole timeout runs
	looked   bool   // whether it has arrived has been looked at
	lookAt   Time   // when it will be
	deadline Time   // when the answer is due to what has arrived
	nextPing Time
	lastSent Time
	wanted   bool
	pressing Time // when the wanted ping, which is deferred, presses
	presses  bool
	answered bool // the open pings are, by a pong that is not an echo
	replied  bool // the latest ping has had a reply, and another one is open
	behind   bool // the ping before the latest had its reply, and an earlier one is open
	echoes   bool
	paused   bool
	heardAny bool // since its whole timeout runs
	last     time.Duration
}

func (m *stateModel) sent(now Time, payload uint64, armed bool) {
	if m.answered {
		m.open, m.answered = nil, false
	}
	m.replied, m.behind = false, m.replied && len(m.open) > 0
	sent := ping{payload, now}
	if m.paused {
		sent.sentAt = Never
	}
	m.open = append(m.open, sent)
	m.open = m.open[max(0, len(m.open)-maxOpen):]
	m.wanted, m.lastSent = false, now
	m.pressing, m.presses = Never, false
	m.nextPing = now.Add(m.rules.Interval)
	learnt := m.rules.Pong == RequirePong || m.rules.Pong == LearnPong && armed
	if m.rules.Timeout > 0 && learnt {
		m.owes, m.nextPing = true, Never
		m.restartDeadline(now)
	}
}

func (m *stateModel) restartDeadline(now Time) {
	m.asked, m.looked, m.heardAny = now, false, false
	m.lookAt, m.deadline = now.Add(m.rules.Timeout/2), Never
	if !m.owes {
		m.lookAt = Never
	}
}

// due is when the next look is, or when the answer must have come.
func (m *stateModel) due() Time {
	if m.paused {
		return Never
	}
	return min(m.lookAt, m.deadline)
}

// look is what a look that finds d does, and reports whether the peer is dead.
func (m *stateModel) look(now Time, d Delivery) (dead bool) {
	if m.deadline != Never { // it has arrived
		m.deadline = min(now.Add(m.rules.Timeout/2), d.Moved.Add(d.Patience))
		return d.Patience == 0 || m.deadline <= now
	}
	whole := m.asked.Add(m.rules.Timeout)
	inTime, first := now < whole, !m.looked
	m.looked, m.lookAt = true, Never
	switch {
	case d.Arrived && first && inTime:
		m.deadline = whole
	case d.Arrived:
		m.deadline = d.Moved.Add(m.rules.Timeout)
		if first {
			m.deadline = max(m.deadline, whole)
		}
	case first && inTime:
		m.lookAt = whole
	case first:
		m.lookAt = now.Add(m.rules.Timeout / 2)
	case now.Sub(d.Moved) >= max(m.rules.Timeout, d.Patience):
		return true
	default:
		m.lookAt = min(now.Add(m.rules.Timeout/2), d.Moved.Add(max(m.rules.Timeout, d.Patience)))
	}
	return m.deadline <= now
}

func (m *stateModel) alive(now Time) {
	if m.owes {
		m.owes, m.lookAt, m.deadline = false, Never, Never
		m.nextPing = max(now, m.lastSent.Add(m.rules.Interval))
	}
}

func (m *stateModel) heard(now Time, midFrame bool) {
	if m.owes && m.rules.Liveness == AnyByte {
		m.alive(now)
	} else if m.owes && midFrame {
		m.restartDeadline(now)
	} else if m.owes {
		m.heardAny = true
	}
}

func (m *stateModel) pong(now Time, payload uint64, early bool) (a Answer) {
	latest := len(m.open) - 1
	i := slices.IndexFunc(m.open, func(p ping) bool { return p.payload == payload })
	switch {
	case i >= 0:
		a = Answer{Echo: true, Counts: !m.answered}
		m.echoes, m.answered = true, false
	case early || latest < 0 || m.answered || m.echoes || m.rules.Liveness == OnlyPong:
		return Answer{}
	default:
		a.Counts, m.answered = true, true
		i = latest
	}
	if i == latest {
		m.alive(now)
		a.Took = now.Sub(m.lastSent)
	}
	if sentAt := m.open[i].sentAt; sentAt != Never {
		m.last = now.Sub(sentAt)
		a.Took, a.Measured = m.last, a.Counts
	}
	if a.Echo {
		m.open = m.open[i+1:]
	}
	return a
}

// reply is an answer that does not say which ping it answers.
func (m *stateModel) reply(now Time) (a Answer) {
	if len(m.open) == 0 {
		return Answer{}
	}
	a = Answer{Counts: true, Echo: true}
	if !m.replied {
		m.alive(now)
		a.Took = now.Sub(m.lastSent)
		if sentAt := m.open[len(m.open)-1].sentAt; sentAt != Never && (len(m.open) == 1 || m.behind) {
			a.Measured, m.last = true, a.Took
		}
	}
	m.open = m.open[1:]
	m.replied = len(m.open) > 0
	if !m.replied {
		m.behind = false
	}
	return a
}

func (m *stateModel) stopped() {
	m.wanted, m.owes = false, false
	m.pressing, m.presses = Never, false
	m.nextPing, m.lookAt, m.deadline = Never, Never, Never
}

// stateScript plays bytes as a life of one State beside its model: the rules, then
// a step a byte, its low 4 bits what happens and its high ones how much later.
type stateScript struct {
	t     *testing.T
	rules Rules
	state State
	model stateModel
	now   Time
	sent  uint64 // payloads are counted, so none is there twice

	replies bool // the peer answers with replies and not with pongs
}

func playState(t *testing.T, script []byte) {
	if len(script) < 2 {
		return
	}
	kind, times := script[0], script[1]
	p := &stateScript{t: t, rules: Rules{
		Interval: time.Duration(times&15) * time.Second,
		Timeout:  time.Duration(times>>4) * time.Second,
		Jitter:   float64(kind>>4) / 15,
		Liveness: Liveness(kind & 1),
		Pong:     PongMode((kind >> 1 & 7) % 3),
	}}
	p.replies = kind>>1&7 >= 6
	p.model = stateModel{rules: p.rules, lookAt: Never, deadline: Never, nextPing: Never, pressing: Never}
	p.state.Open(&p.rules, 0, 1)
	if p.rules.Interval > 0 {
		p.model.nextPing = p.firstPing()
	}
	for _, b := range script[2:] {
		p.now = p.now.Add(time.Duration(b>>4) * time.Second)
		p.step(b & 15)
		p.check()
	}
}

// firstPing returns when the first ping is due, which may be early by jitter only.
func (p *stateScript) firstPing() Time {
	first, interval := p.state.Next(), p.rules.Interval
	earliest := Time(float64(interval) * (1 - p.rules.Jitter))
	if first > Time(interval) || first < earliest-1 {
		p.t.Fatalf("first ping at %v, want within %v before %v", first, p.rules.Jitter, interval)
	}
	return first
}

func (p *stateScript) step(what byte) {
	s, m, r := &p.state, &p.model, &p.rules
	switch what {
	case 0, 1, 2:
		p.advance()
	case 3:
		p.now = max(p.now, min(s.Next(), p.now.Add(time.Hour)))
		p.advance()
	case 4, 5, 6:
		if m.wanted {
			p.sent++
			m.sent(p.now, p.sent, what == 4)
		}
		s.Sent(r, p.now, p.sent, what == 4, false)
	case 7, 8:
		s.Heard(r, p.now, what == 7)
		m.heard(p.now, what == 7)
	case 9, 10, 11, 12:
		p.pong(p.sent - uint64(what-9))
	case 13:
		s.Pause()
		m.paused = true
		for i := range m.open {
			m.open[i].sentAt = Never
		}
	case 14:
		unread := int64(p.now/Time(time.Second))%2 == 0
		s.Resume(r, p.now, unread)
		if m.paused && (unread || m.heardAny) {
			m.restartDeadline(p.now)
		}
		m.paused = false
	case 15:
		p.rarely()
	}
}

// rarely stops the heartbeat in every eighth second, and else hands it over to
// another process, or finds a message that is under way.
func (p *stateScript) rarely() {
	switch int64(p.now/Time(time.Second)) % 8 {
	case 7:
		p.state.Stop()
		p.model.stopped()
	case 1, 3, 5:
		p.state = restored(p.t, &p.state)
	default:
		p.defers()
	}
}

func (p *stateScript) defers() {
	m, due := &p.model, p.state.Due()
	p.state.Defer(&p.rules)
	if m.wanted && !m.presses && m.pressing == Never {
		m.pressing = due.Add(p.rules.Interval / 4)
	}
	if m.pressing != Never && p.state.Due() != m.pressing {
		p.t.Fatalf("deferred until %v, want %v", time.Duration(p.state.Due()), time.Duration(m.pressing))
	}
	p.advance()
}

func (p *stateScript) advance() {
	want := None
	switch m := &p.model; {
	case m.due() != Never && p.now >= m.due():
		want = Look
		if !m.owes {
			p.t.Fatal("a look without an unanswered ping")
		}
	case m.nextPing != Never && p.now >= m.nextPing:
		want = Ping
		if m.owes {
			p.t.Fatal("a ping beside one with a deadline")
		}
		m.wanted, m.nextPing = true, Never
	case m.pressing != Never && p.now >= m.pressing:
		want = Ping
		m.pressing, m.presses = Never, true
	}
	if got := p.state.Overdue(p.now); got != (want == Look) {
		p.t.Fatalf("at %v: overdue %v before %v", time.Duration(p.now), got, name(want))
	}
	if got := p.state.Advance(p.now, p.now); got != want {
		p.t.Fatalf("at %v: %v, want %v", time.Duration(p.now), name(got), name(want))
	}
	if want == Look {
		p.look()
	}
	if next := p.state.Next(); next <= p.now {
		p.t.Fatalf("advanced to %v, but next is %v", time.Duration(p.now), time.Duration(next))
	}
	if got := p.state.Advance(p.now, p.now); got != None {
		p.t.Fatalf("at %v: %v twice, or more than one thing at once", time.Duration(p.now), name(got))
	}
}

// look finds what the moment makes of it.
func (p *stateScript) look() {
	second := int64(p.now / Time(time.Second))
	d := Delivery{Arrived: second%3 == 0, Moved: max(0, p.now-Time(second%7)*Time(time.Second)), Patience: time.Duration(second%5) * 4 * time.Second}
	asked, timeout := p.model.asked, p.rules.Timeout
	underway := p.model.deadline == Never && !d.Arrived
	want := None
	if p.model.look(p.now, d) {
		want = Expired
		p.model.stopped()
	}
	got := p.state.Looked(&p.rules, p.now, d)
	if got != want {
		p.t.Fatalf("at %v: %v after a look, want %v", time.Duration(p.now), name(got), name(want))
	}
	if got == Expired && (p.now.Sub(asked) < timeout || underway && p.now.Sub(d.Moved) < timeout) {
		p.t.Fatalf("at %v: expired, asked at %v, moved at %v", time.Duration(p.now), time.Duration(asked), time.Duration(d.Moved))
	}
}

func (p *stateScript) pong(payload uint64) {
	if p.replies {
		want := p.model.reply(p.now)
		if got := p.state.Reply(&p.rules, p.now); got != want {
			p.t.Fatalf("at %v: reply: %+v, want %+v", time.Duration(p.now), got, want)
		}
		return
	}
	early := int64(p.now/Time(time.Second))%4 == 3
	want := p.model.pong(p.now, payload, early)
	if got := p.state.Pong(&p.rules, p.now, AppendPayload(nil, payload), early); got != want {
		p.t.Fatalf("at %v: pong %d: %+v, want %+v", time.Duration(p.now), payload, got, want)
	}
}

func (p *stateScript) check() {
	if got, want := p.state.Next(), min(p.model.nextPing, p.model.pressing, p.model.due()); got != want {
		p.t.Fatalf("at %v: next is %v, want %v", time.Duration(p.now), time.Duration(got), time.Duration(want))
	}
	if got := p.state.Wanted(); got != p.model.wanted {
		p.t.Fatalf("at %v: wanted %v, want %v", time.Duration(p.now), got, p.model.wanted)
	}
	if got := p.state.Presses(); got != p.model.presses {
		p.t.Fatalf("at %v: presses %v, want %v", time.Duration(p.now), got, p.model.presses)
	}
	if p.model.deadline != Never && p.model.nextPing != Never {
		p.t.Fatal("a ping scheduled beside a deadline")
	}
	if rtt, _ := p.state.RTT(); rtt != p.model.last {
		p.t.Fatalf("last round trip %v, want %v", rtt, p.model.last)
	}
}

// FuzzState compares a State's whole life to its model's.
func FuzzState(f *testing.F) {
	f.Fuzz(playState)
}
