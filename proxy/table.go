package proxy

import "holdfast/proxy/internal/epoll"

// table finds a session by its slot. Each session that takes a slot changes the slot's
// generation. So an event for an earlier session is recognised and dropped.
type table struct {
	slots []slot
	free  []uint32
	live  int
}

type slot struct {
	session    *session
	generation uint32
}

// The bits of a token: generation (31) · leg (1) · slot (32).
const (
	legBit          = epoll.Token(1) << 32
	generationShift = 33
	generationMask  = 1<<31 - 1
)

// listenerSlot is the slot of the listener; no session is ever in it.
const listenerSlot = 0

func newTable() table { return table{slots: make([]slot, 1, 64)} }

func (t *table) add(s *session) {
	free := uint32(len(t.slots))
	if n := len(t.free); n > 0 {
		free = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		t.slots = append(t.slots, slot{})
	}
	at := &t.slots[free]
	at.session = s
	at.generation = (at.generation + 1) & generationMask
	s.token = epoll.Token(at.generation)<<generationShift | epoll.Token(free)
	t.live++
}

func (t *table) remove(s *session) {
	t.slots[s.slot()].session = nil
	t.free = append(t.free, s.slot())
	t.live--
}

// slot returns the session's index in its table.
func (s *session) slot() uint32 { return uint32(s.token) }

// find returns the session and the side that tok stands for, or nil if that session has
// ended.
func (t *table) find(tok epoll.Token) (*session, Side) {
	s := t.slots[uint32(tok)].session
	if s == nil || s.token != tok&^legBit {
		return nil, 0
	}
	if tok&legBit != 0 {
		return s, upstream
	}
	return s, client
}

// holds reports whether s is in the table, that is, has not ended.
func (t *table) holds(s *session) bool { return t.slots[s.slot()].session == s }

// all calls f for every session; f may end it.
func (t *table) all(f func(*session)) {
	for i := range t.slots {
		if s := t.slots[i].session; s != nil {
			f(s)
		}
	}
}

func tokenOf(s *session, side Side) epoll.Token {
	if side == upstream {
		return s.token | legBit
	}
	return s.token
}
