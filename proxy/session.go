package proxy

import (
	"net/netip"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
)

// Side says which leg of a session is meant, or in a cause who is at fault.
type Side = metrics.Side

const (
	client   = metrics.Client
	upstream = metrics.Upstream
	proxy    = metrics.Proxy
)

var sides = [...]Side{client, upstream}

func opposite(side Side) Side { return upstream - side }

// A session is one client, one upstream connection, and the frames between
// them. It is owned by its loop; no other goroutine touches it. Established
// and idle it is this struct and nothing else: no goroutine, no timer object,
// no buffer.
type session struct {
	// Static once the session is open.
	id     uint64
	token  epoll.Token    // slot and generation; the leg's bit is added
	remote netip.AddrPort // the client; port 0: its address is known from a trusted proxy only; zero: a unix socket's peer
	path   string         // of the request, without its query; for the log
	origin *origin        // the service behind it

	// opening is the state of the opening handshake; nil once the session is open.
	opening *opening

	opened   heartbeat.Time // when the 101 had been written
	lastData heartbeat.Time // when a data frame last came from either peer
	until    heartbeat.Time // when the session ends, or its end is cut short, whatever its peers do
	timer    heartbeat.Time // what the wheel will call for; never later than due

	cause   cause
	legs    [2]leg // by side
	counted bool   // among the sessions of its address
	learnt  bool   // the client has answered a ping
	told    bool   // a peer that floods us after the end has our Close
}

// table finds a session by its slot. A slot's generation changes with every
// session in it, so that an event for an earlier one is recognised and dropped.
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

// slot is the session's place in its table.
func (s *session) slot() uint32 { return uint32(s.token) }

// find returns the session and side that a token means, or nil if that
// session is gone.
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

// holds reports whether s is still in the table, and has not ended meanwhile.
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
