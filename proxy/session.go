package proxy

import (
	"net/netip"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/frame"
	"holdfast/proxy/internal/peraddress"
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
	oldAt    heartbeat.Time // when the session will have lasted too long
	timer    heartbeat.Time // what the wheel will call for; never later than due

	cause cause
	legs  [2]leg          // by side
	seat  peraddress.Seat // how it counts for its client's address, see seat.go
}

// A leg is one of a session's two connections.
type leg struct {
	io       transport // nil when the descriptor is closed
	interest epoll.Ready
	in       inState
	out      outState
	paused   bool   // not read because the other leg has a tail
	parting  bool   // what is written now is the last, and our end of the TCP stream follows
	shut     bool   // everything is said; only the end of the peer's TCP is awaited
	learnt   bool   // a matching pong has been seen
	pingOut  bool   // our ping stands in the tail
	fault    Reason // outBroken: how the write failed

	scan frame.Scanner   // what comes from the peer
	beat heartbeat.State // whether the peer is alive

	held    *held    // the beginning of a header or control frame from the peer
	tail    *tail    // what the socket did not take
	pending *pending // control frames of ours that wait for a frame boundary

	by heartbeat.Time // while the session ends, or a write has failed: when the next step must be done

	closeIn, closeOut uint16 // codes of the Closes received and sent; noCode, emptyCode or the code
	frames            uint64 // data frames received
	received, sent    uint64 // bytes
}

// inState is what becomes of bytes from a peer.
type inState uint8

const (
	inOpen    inState = iota // scanned and passed on; → inDiscard, inEnded
	inDiscard                // read and thrown away: the peer sent its Close or broke the protocol; → inEnded
	inEnded                  // the peer's stream has ended
)

// outState is what may be written to a peer.
type outState uint8

const (
	outOpen    outState = iota // anything; → outClosing, outClosed, outBroken
	outClosing                 // a Close of ours is due at the next frame boundary; → outClosed, outBroken
	outClosed                  // a Close has been written or stands last in the tail; → outBroken
	outBroken                  // the socket takes nothing more
)

// Values of closeIn and closeOut that are no close code.
const (
	noCode    = 0    // there was no Close
	emptyCode = 1005 // there was a Close without a code (RFC 6455 7.1.5)
)

// held is the beginning of a header or of a control frame, kept until the rest comes.
type held struct {
	n   int
	buf [frame.MaxHeld]byte
}

// pending are the control frames that a leg is still to be sent. One pong at
// the most: the latest ping wins (RFC 6455 5.5.3), so a flood of them costs nothing.
type pending struct {
	hasPong bool
	pong    frame.ControlFrame
	close   []byte // payload of the Close, for outClosing
}

// midFrame reports whether what has been written to side, and is in its tail,
// ends inside a frame. Our own frames must not be put there.
func (s *session) midFrame(side Side) bool {
	return s.legs[opposite(side)].scan.MidFrame()
}

// insideFrame reports whether the peer is in the middle of a frame, header included.
func (g *leg) insideFrame() bool { return g.scan.MidFrame() || g.held != nil }

// wants reports whether a frame of ours is due on the leg.
func (g *leg) wants() bool {
	switch g.out {
	case outOpen:
		return g.pending != nil && g.pending.hasPong || g.beat.Wanted() && !g.pingOut
	case outClosing:
		return true
	default:
		return false
	}
}

func (g *leg) pend() *pending {
	if g.pending == nil {
		g.pending = new(pending)
	}
	return g.pending
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
