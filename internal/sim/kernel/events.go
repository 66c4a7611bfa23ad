package kernel

import "time"

// An event is something that happens by itself: a segment arrives, a timer of TCP ends, or
// something happens in the world around the process.
type event struct {
	at      time.Duration
	order   uint64 // decides between events of one moment
	outside bool   // it is the world's, and never happens in the middle of a call
	run     func()
}

func (e *event) before(other *event) bool {
	return e.at < other.at || e.at == other.at && e.order < other.order
}

// events is a heap, the next event first. It is not that of container/heap, which would
// allocate memory for each event.
type events []event

func (e *events) add(new event) {
	*e = append(*e, new)
	all, i := *e, len(*e)-1
	for i > 0 && new.before(&all[(i-1)/2]) {
		all[i] = all[(i-1)/2]
		i = (i - 1) / 2
	}
	all[i] = new
}

// take removes the next event.
func (e *events) take() event {
	all, last := *e, len(*e)-1
	next, moved := all[0], all[last]
	all[last] = event{}
	all = all[:last]
	*e = all
	for i := 0; last > 0; {
		child := 2*i + 1
		if child+1 < last && all[child+1].before(&all[child]) {
			child++
		}
		if child >= last || !all[child].before(&moved) {
			all[i] = moved
			break
		}
		all[i] = all[child]
		i = child
	}
	return next
}

func (m *Machine) schedule(at time.Duration, run func()) { m.add(event{at: at, run: run}) }

func (m *Machine) add(e event) {
	m.order++
	e.order = m.order
	m.queue.add(e)
}

// After makes something happen in the world around the process when some time has passed.
// It happens in Run, and never in the middle of a call of the process.
func (m *Machine) After(d time.Duration, do func()) {
	m.add(event{at: m.now() + d, outside: true, run: do})
}

// Next is when something happens by itself the next time. ok is false if nothing ever does.
func (m *Machine) Next() (at time.Duration, ok bool) {
	if len(m.queue) == 0 {
		return 0, false
	}
	return m.queue[0].at, true
}

// Advance does what the network and TCP have to do by the clock. It stops at the first
// event of After. Each method of a Poller and of a Socket calls Advance, so that without
// latency bytes arrive at once.
func (m *Machine) Advance() {
	if m.settling {
		return
	}
	m.settling = true
	for m.due() && !m.queue[0].outside {
		m.queue.take().run()
	}
	m.settling = false
}

// Run does all that is due by the clock, in its order. The caller moves the clock from one
// Next to the following.
func (m *Machine) Run() {
	for m.Advance(); m.due(); m.Advance() {
		m.queue.take().run()
	}
}

func (m *Machine) due() bool { return len(m.queue) > 0 && m.queue[0].at <= m.now() }
