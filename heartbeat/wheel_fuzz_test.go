package heartbeat

import "testing"

// wheelModel is a wheel as a map that is searched from end to end. A timer is in it
// with the moment from which on it fires: the first tick at or after the one it was
// set for, or the latest Advance if it was set too late for that.
type wheelModel struct {
	now   Time
	fires map[uint32]Time
}

func (m *wheelModel) set(id uint32, at Time) {
	switch {
	case at == Never:
		delete(m.fires, id)
	case at <= m.now:
		m.fires[id] = m.now
	default:
		m.fires[id] = (at + tick - 1) / tick * tick
	}
}

func (m *wheelModel) next() Time {
	next := Never
	for _, at := range m.fires {
		next = min(next, at)
	}
	return next
}

// wheelScript plays bytes on a wheel and its model, three to a step: what and to
// whom, then a distance in time as mantissa and exponent, from nothing to centuries.
type wheelScript struct {
	t     *testing.T
	wheel *Wheel
	model wheelModel
}

const (
	scriptIDs = 16
	// scriptEnd bounds the invented time, so that the model's sums are safe.
	scriptEnd = Never / 4
)

func playWheel(t *testing.T, script []byte) {
	p := &wheelScript{t, NewWheel(tick / 3), wheelModel{tick / 3, map[uint32]Time{}}}
	for ; len(script) >= 3; script = script[3:] {
		id, distance := uint32(script[0]%scriptIDs), Time(script[1])<<(script[2]%56)
		p.step(script[0]/scriptIDs, id, min(distance, scriptEnd))
		p.check()
	}
}

func (p *wheelScript) step(what byte, id uint32, distance Time) {
	switch what {
	case 0:
		p.set(id, Never)
	case 1:
		p.wheel.Cancel(id)
		delete(p.model.fires, id)
	case 2:
		p.set(id, max(p.model.now-distance, 0))
	case 3:
		p.wheel.Shrink(id)
		for other := id; other < scriptIDs; other++ {
			delete(p.model.fires, other)
		}
	case 4, 5, 6:
		p.advance(max(p.model.now, min(p.model.now+distance, scriptEnd)), id)
	case 7, 8:
		if next := p.wheel.Next(); next != Never {
			p.advance(next, id)
		}
	default:
		p.set(id, p.model.now+distance)
	}
}

func (p *wheelScript) set(id uint32, at Time) {
	p.wheel.Set(id, at)
	p.model.set(id, at)
}

// advance goes on to now. Each timer that fires does something to another: what,
// depends on id and on its own.
func (p *wheelScript) advance(now Time, id uint32) {
	p.model.now = now
	due := map[uint32]bool{}
	for id, at := range p.model.fires {
		if at <= now {
			due[id] = true
		}
	}
	p.wheel.Advance(now, func(fired uint32) {
		if !due[fired] {
			p.t.Fatalf("at %d: timer %d fired, set for %d", now, fired, p.model.fires[fired])
		}
		delete(due, fired)
		delete(p.model.fires, fired)
		other := (fired + id) % scriptIDs
		switch id % 4 {
		case 1:
			p.set(other, now)
		case 2:
			p.set(other, now+Time(fired)*tick*100)
		case 3:
			p.wheel.Cancel(other)
			delete(p.model.fires, other)
		default:
			return
		}
		delete(due, other)
	})
	if len(due) != 0 {
		p.t.Fatalf("at %d: %v did not fire", now, due)
	}
}

func (p *wheelScript) check() {
	if got, want := p.wheel.Len(), len(p.model.fires); got != want {
		p.t.Fatalf("%d timers, want %d", got, want)
	}
	got, want := p.wheel.Next(), p.model.next()
	switch {
	case got > want:
		p.t.Fatalf("next is %d, after the first timer at %d", got, want)
	case want == Never && got != Never:
		p.t.Fatalf("next is %d, but no timer is armed", got)
	case want > p.model.now && got <= p.model.now:
		p.t.Fatalf("next is %d at %d, but the first timer is due at %d", got, p.model.now, want)
	}
}

// FuzzWheel compares a wheel to its model.
func FuzzWheel(f *testing.F) {
	f.Fuzz(playWheel)
}
