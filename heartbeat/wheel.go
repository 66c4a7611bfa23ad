package heartbeat

import "math/bits"

const (
	tickBits  = 22 // a tick is 1<<22 ns, about 4.2 ms
	digitBits = 8  // a tick is written in digits of 8 bits, one for each level
	levels    = 6  // enough for the 42 bits of every Time's tick, so no timer is too far away

	// Indexes in Wheel.nodes. Slot d of level l is d + l<<digitBits; slots with
	// d = 0 are never used, so index 0 can mean that a node is in no list.
	due     = levels << digitBits // timers that the next Advance fires
	firing  = due + 1             // timers that the running Advance fires
	firstID = due + 2             // the timer with id 0
)

// A Wheel is a hierarchical timing wheel: setting, moving, cancelling and firing
// a timer cost the same however many there are. A timer is a small number that the
// caller chooses, such as a slot of a table, and holds nothing else. The numbers should
// be dense: memory goes by the highest one.
//
// A timer never fires early. Its time is rounded up to a tick of 1<<22 ns, about
// 4.2 ms, so that many timers share one wake-up. So a timer may fire one tick late.
//
// cur is the tick up to which all timers have been handled. A waiting timer's own tick
// is later. Write both ticks with digits to the base 256. The highest digit in which
// they differ is the timer's level, and the timer's own digit there is its slot. Hence
//
//   - slots in use are ahead of cur's digit at their level, never behind it, and
//     the slot that begins first is the first in use on the lowest level in use;
//   - when cur reaches the beginning of a slot, its timers are filed again, each
//     at a lower level or as due. A timer is moved at most once for each level.
type Wheel struct {
	now   Time   // of the latest Advance
	cur   uint64 // the tick of now, or lower during catchUp
	armed int    // how many timers are armed

	// inUse has a bit for each slot of nodes that holds a timer.
	inUse [due / 64]uint64
	// nodes are the heads of the lists (each slot, due and firing), then the timers.
	nodes []node
}

// node is a link of a circular doubly linked list: the list's head, or a timer with
// its tick. A timer that is not armed has next = 0.
type node struct {
	tick       uint64
	next, prev uint32
}

// NewWheel returns an empty wheel.
func NewWheel(now Time) *Wheel {
	w := &Wheel{now: now, cur: tickBefore(now), nodes: make([]node, firstID)}
	for i := range w.nodes {
		w.makeEmpty(uint32(i))
	}
	return w
}

// Set arms the timer id for at, or moves it there. If at is Never, Set disarms it. If
// at is not later than the latest Advance, the next Advance fires it.
func (w *Wheel) Set(id uint32, at Time) {
	w.Cancel(id)
	if at == Never {
		return
	}
	tick := tickAfter(at)
	if at <= w.now {
		tick = w.cur
	}
	i := w.grow(id)
	w.nodes[i].tick = tick
	w.file(i)
	w.armed++
}

// Cancel disarms the timer id if it is armed.
func (w *Wheel) Cancel(id uint32) {
	i := firstID + id
	if int(i) < len(w.nodes) && w.nodes[i].next != 0 {
		w.disarm(i)
	}
}

// Len returns how many timers are armed.
func (w *Wheel) Len() int {
	return w.armed
}

// Next returns when Advance should be called. No timer fires earlier, but the first may
// fire later: then Advance fires nothing, and Next is closer to that timer. Next returns
// the now of the latest Advance if a timer is due already, and Never if no timer is armed.
func (w *Wheel) Next() Time {
	if !w.empty(due) || !w.empty(firing) {
		return w.now
	}
	_, begin, ok := w.firstSlot()
	if !ok {
		return Never
	}
	return Time(min(begin<<tickBits, uint64(Never)))
}

// Advance disarms each timer whose time has come, and calls fire for it. fire may Set
// and Cancel any timer. A timer that it sets for now or earlier fires at the next
// Advance. Ticks without a timer cost nothing, however many have passed. If fire panics,
// the timers behind the one that it was called for fire at the next Advance.
func (w *Wheel) Advance(now Time, fire func(id uint32)) {
	w.now = max(w.now, now)
	w.catchUp(tickBefore(w.now))
	w.moveAll(due, firing)
	for i := w.nodes[firing].next; i != firing; i = w.nodes[firing].next {
		w.disarm(i)
		fire(i - firstID)
	}
}

// Shrink cancels the timers n and above and gives their memory back.
func (w *Wheel) Shrink(n uint32) {
	kept := firstID + int(n)
	if kept >= len(w.nodes) {
		return
	}
	for i := kept; i < len(w.nodes); i++ {
		w.Cancel(uint32(i - firstID))
	}
	w.nodes = append(make([]node, 0, kept), w.nodes[:kept]...)
}

// catchUp moves cur to tick, from one slot in use to the next. Afterwards all timers up
// to that tick are in due.
func (w *Wheel) catchUp(tick uint64) {
	for {
		slot, begin, ok := w.firstSlot()
		if !ok || begin > tick {
			break
		}
		w.cur = begin
		w.refile(slot)
	}
	w.cur = tick
}

// firstSlot returns the slot in use that begins first, and the tick at which it begins.
// The digits of that tick are cur's above the slot's level, then the slot's own, then
// zeros. ok is false if no slot is in use.
func (w *Wheel) firstSlot() (slot uint32, begin uint64, ok bool) {
	for i, word := range w.inUse {
		if word == 0 {
			continue
		}
		slot = uint32(i*64 + bits.TrailingZeros64(word))
		shift := slot >> digitBits * digitBits
		above := w.cur >> shift >> digitBits << digitBits
		return slot, (above | uint64(slot&(1<<digitBits-1))) << shift, true
	}
	return 0, 0, false
}

// refile files the timers of a slot again, because cur has reached its beginning.
func (w *Wheel) refile(slot uint32) {
	if slot < 1<<digitBits { // the lowest level, where a slot is a tick
		w.moveAll(slot, due)
		return
	}
	i := w.nodes[slot].next
	w.makeEmpty(slot)
	for i != slot {
		next := w.nodes[i].next
		w.file(i)
		i = next
	}
}

// file appends a timer to the list for its tick.
func (w *Wheel) file(i uint32) {
	list := w.listFor(w.nodes[i].tick)
	last := w.nodes[list].prev
	w.nodes[i].prev, w.nodes[i].next = last, list
	w.nodes[last].next, w.nodes[list].prev = i, i
	if list < due {
		w.inUse[list/64] |= 1 << (list % 64)
	}
}

// listFor returns the slot for a tick, or due if it is not ahead of cur.
func (w *Wheel) listFor(tick uint64) uint32 {
	if tick <= w.cur {
		return due
	}
	level := uint32(bits.Len64(tick^w.cur)-1) / digitBits
	return level<<digitBits | uint32(tick>>(level*digitBits))&(1<<digitBits-1)
}

// disarm takes an armed timer out of its list.
func (w *Wheel) disarm(i uint32) {
	prev, next := w.nodes[i].prev, w.nodes[i].next
	w.nodes[prev].next, w.nodes[next].prev = next, prev
	if prev == next { // only the head is left
		w.makeEmpty(prev)
	}
	w.nodes[i] = node{}
	w.armed--
}

// moveAll appends all timers of one list to another.
func (w *Wheel) moveAll(from, to uint32) {
	if w.empty(from) {
		return
	}
	first, last := w.nodes[from].next, w.nodes[from].prev
	tail := w.nodes[to].prev
	w.nodes[tail].next, w.nodes[first].prev = first, tail
	w.nodes[last].next, w.nodes[to].prev = to, last
	w.makeEmpty(from)
}

// empty reports whether a list has no timers.
func (w *Wheel) empty(list uint32) bool {
	return w.nodes[list].next == list
}

// makeEmpty makes a list empty. The nodes that were in it are not changed.
func (w *Wheel) makeEmpty(list uint32) {
	w.nodes[list].next, w.nodes[list].prev = list, list
	if list < due {
		w.inUse[list/64] &^= 1 << (list % 64)
	}
}

// grow makes room for the timer id and returns its index in nodes.
func (w *Wheel) grow(id uint32) uint32 {
	i := firstID + id
	if more := int(i) + 1 - len(w.nodes); more > 0 {
		w.nodes = append(w.nodes, make([]node, more)...)
	}
	return i
}

// tickBefore returns the last tick that begins at t or before.
func tickBefore(t Time) uint64 {
	return uint64(t) >> tickBits
}

// tickAfter returns the first tick that begins at t or after.
func tickAfter(t Time) uint64 {
	return (uint64(t) + 1<<tickBits - 1) >> tickBits
}
