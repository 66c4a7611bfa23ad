package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/secure"
	"holdfast/proxy/internal/socket"
)

// What a simulation invents, and the words it needs for that.
type (
	Kernel    = kernel
	Transport = transport
	Secured   = secured
	Scratch   = secure.Scratch

	Token    = epoll.Token
	Ready    = epoll.Ready
	Event    = epoll.Event
	Endpoint = socket.Endpoint
	ACKs     = socket.ACKs
)

// Conditions of a descriptor: EPOLLIN, EPOLLOUT, EPOLLRDHUP, and EPOLLERR or EPOLLHUP.
const (
	Readable  = epoll.In
	Writable  = epoll.Out
	PeerEnded = epoll.Ended
	Broken    = epoll.Broken
)

// ErrAgain says that a descriptor is not ready.
var ErrAgain = errAgain

// A Hermetic is a server without a thread of its own: its caller turns the loops, over
// kernels, a clock and a source of randomness that the caller has invented. The code
// is the one that runs in production.
type Hermetic struct{ server *Server }

// A HermeticWorld is what surrounds a Hermetic.
type HermeticWorld struct {
	Now     func() heartbeat.Time
	Beside  func(job func()) // is given each job that may block, but for probes: there are none
	Random  io.Reader        // must never fail
	Kernels []Kernel         // one for each loop; the first accepts
	Listen  int              // the descriptor that clients connect to
	Close   func()           // closes that
	Clients int64            // how many there may be at once
	Places  int              // in each loop's queue for a TLS handshake, and in the one for a dial
	// Find looks up the addresses of the upstream's host.
	Find func(ctx context.Context, host string) ([]netip.Addr, error)
}

// NewHermetic makes a server that accepts from its first turn on.
func NewHermetic(cfg Config, w HermeticWorld) (*Hermetic, error) {
	cfg.Loops = len(w.Kernels)
	cfg.find = w.Find
	s, err := newServer(cfg, world{
		clock:  clock{now: w.Now},
		beside: w.Beside,
		after:  func(time.Duration, func()) {},
	})
	if err != nil {
		return nil, err
	}
	s.setRoom(w.Clients)
	*s.listener = listener{fd: w.Listen, open: true, invented: w.Close}
	for _, k := range w.Kernels {
		l := s.addLoop(k, w.Random)
		l.tlsQueue, l.dialQueue = newQueue(w.Places), newQueue(w.Places)
	}
	s.loops[0].post(s.loops[0].startAccept)
	return &Hermetic{s}, nil
}

// Turn lets a loop handle what is ready now and what is due, and reports how many events
// that were.
func (h *Hermetic) Turn(loop int) (events int) {
	l := h.server.loops[loop]
	l.poll()
	events = len(l.ready)
	l.turn(l.now, l.ready)
	return events
}

// Next is when a loop's next timer is due, heartbeat.Never if there is none.
func (h *Hermetic) Next(loop int) heartbeat.Time { return h.server.loops[loop].wheel.Next() }

// Called reports whether a loop has been given a job that it has not done yet.
func (h *Hermetic) Called(loop int) bool {
	b := &h.server.loops[loop].inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.jobs) > 0
}

// Drain begins the end of all that a loop holds, and CutAll ends it at once. As for any
// other job, the loop must not be in a turn.
func (h *Hermetic) Drain(loop int)  { h.server.draining.Store(true); h.server.loops[loop].drain() }
func (h *Hermetic) CutAll(loop int) { h.server.loops[loop].cutAll() }

// Close ends what the server does beside its loops.
func (h *Hermetic) Close() { h.server.end() }

// Clients is how many clients are counted, and Held how many of them the loops hold.
func (h *Hermetic) Clients() int { return h.server.Sessions() }

// Held is how many handshakes and sessions the loops hold.
func (h *Hermetic) Held() (n int) {
	for _, l := range h.server.loops {
		n += l.table.live
	}
	return n
}

// Audit looks at all that the loops hold between two turns. It tells seen the step of
// each handshake, and the states of each leg and of each session's end, as indexes of
// States. It returns what must never be: something that waits without a deadline, a
// deadline without a timer, a count that does not add up.
func (h *Hermetic) Audit(seen func(state int)) error {
	var errs []error
	for i, l := range h.server.loops {
		if n := l.sessions.Load(); int(n) < l.table.live {
			errs = append(errs, fmt.Errorf("loop %d counts %d sessions and holds %d", i, n, l.table.live))
		}
		l.table.all(func(s *session) {
			s.tell(seen)
			if err := l.audit(s); err != nil {
				errs = append(errs, fmt.Errorf("session %d: %w", s.id, err))
			}
		})
	}
	return errors.Join(errs...)
}

func (s *session) tell(seen func(state int)) {
	if s.opening != nil {
		seen(int(s.opening.state))
		return
	}
	seen(len(steps) + int(s.cause.kind))
	for _, side := range sides {
		g, first := &s.legs[side], len(steps)+len(endNames)+int(side)*legStates
		seen(first + int(g.in))
		seen(first + len(inNames) + int(g.out))
		for i, is := range []bool{g.paused, g.tail != nil, g.pending != nil} {
			if is {
				seen(first + len(inNames) + len(outNames) + i)
			}
		}
	}
}

// The names of what Audit tells, in the order of its indexes.
var (
	endNames  = []string{"live", "closing", "closed", "dropped"}
	inNames   = []string{"open", "discard", "ended"}
	outNames  = []string{"open", "held", "closing", "closed", "resting", "broken"}
	heldNames = []string{"paused", "tail", "pending"}
	legStates = len(inNames) + len(outNames) + len(heldNames)
)

// States are the names of all that Audit can tell.
func States() (all []string) {
	for state := range len(steps) {
		all = append(all, fmt.Sprintf("step %d", state))
	}
	for _, name := range endNames {
		all = append(all, "session "+name)
	}
	for _, side := range sides {
		for _, name := range inNames {
			all = append(all, side.String()+" in "+name)
		}
		for _, name := range outNames {
			all = append(all, side.String()+" out "+name)
		}
		for _, name := range heldNames {
			all = append(all, side.String()+" "+name)
		}
	}
	return all
}

// audit checks that a session, or a leg that owes something, has a time at which it is
// over, and a timer for that.
func (l *loop) audit(s *session) error {
	if s.timer == heartbeat.Never && l.due(s) != heartbeat.Never {
		return errors.New("there is a deadline and no timer")
	}
	if s.opening != nil {
		if s.opening.by == heartbeat.Never {
			return fmt.Errorf("the handshake waits for ever at step %d", s.opening.state)
		}
		return nil
	}
	if s.cause.kind != live && s.until == heartbeat.Never {
		return fmt.Errorf("the end has no end: %+v", s.cause)
	}
	for _, side := range sides {
		g := &s.legs[side]
		stays := g.io != nil && (g.out == outBroken || s.cause.kind != live && g.out > outHeld)
		if g.paused && s.legs[opposite(side)].tail == nil {
			return fmt.Errorf("the %v leg is not read, and nothing is in the way", side)
		}
		if stays && !g.paused && g.deadline() == heartbeat.Never {
			return fmt.Errorf("the %v leg waits for ever: in %d, out %d, cause %+v", side, g.in, g.out, s.cause)
		}
	}
	return nil
}
