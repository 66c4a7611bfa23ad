package proxy

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"holdfast/metrics"
)

// What operators are told of single sessions, and do with them. Only a loop may look at its
// sessions, and it has other work. So the loop is given one job for each slice of its
// table, and the next job when it has done that one.

// One job looks at sliceSlots slots of a table at most. It looks at fewer if their sessions
// have long paths, since a filter may be compared with each byte of a path.
const (
	sliceSlots = 256
	slicePaths = 64 << 10 // bytes; the last path may go over it
)

// A SessionStatus is what is known about one open session.
type SessionStatus struct {
	ID       uint64
	Client   netip.AddrPort // as in Ended
	Path     string
	Upstream string
	Address  string
	State    SessionState
	Age      time.Duration // since its 101 was written
	Idle     time.Duration // since data last came from either peer
	Legs     [2]LegStatus  // by side
}

// A LegStatus is one leg of an open session.
type LegStatus struct {
	Frames   uint64        // data frames received
	Buffered int           // bytes that wait to be sent to the peer
	Silent   time.Duration // since bytes last came from the peer, or until the session's end began
	RTT      time.Duration // the last round trip that was measured, if Measured
	Measured bool

	AppRTT      time.Duration // the same for the application's heartbeat, if AppMeasured
	AppMeasured bool
}

// A SessionState says how far a session has come.
type SessionState string

const (
	SessionLive    SessionState = "live"
	SessionClosing SessionState = "closing" // a peer has sent its Close, and the other has not answered it yet
	SessionEnding  SessionState = "ending"  // how it ends is settled, and a connection is still open
)

// A SessionOrder is what sessions are sorted by.
type SessionOrder string

const (
	ByAge         SessionOrder = "age"
	ByIdle        SessionOrder = "idle"
	ByClientRTT   SessionOrder = "client_rtt"
	ByUpstreamRTT SessionOrder = "upstream_rtt"
	ByBuffered    SessionOrder = "buffered" // of both legs
)

// SessionOrders are all orders.
var SessionOrders = []SessionOrder{ByAge, ByIdle, ByClientRTT, ByUpstreamRTT, ByBuffered}

// A SessionQuery says which sessions to list.
type SessionQuery struct {
	Order     SessionOrder
	Ascending bool   // the smallest come first
	Filter    string // a part of the client's name or of the path; empty: all sessions
	Limit     int    // the most that are listed
}

// A SessionList is an answer to a SessionQuery. The sessions were looked at one after the
// other, while others opened and ended.
type SessionList struct {
	Total    int             // open sessions
	Matched  int             // those of them that the filter leaves
	Sessions []SessionStatus // the first of those; a session without a measured round trip comes last
}

// SessionList lists open sessions. It returns an error if ctx is done first.
func (s *Server) SessionList(ctx context.Context, q SessionQuery) (SessionList, error) {
	found := newListing(q)
	err := s.onSlices(ctx, func(l *loop, slots []slot) bool {
		l.list(slots, found)
		return true
	})
	return found.result(), err
}

// CloseSession ends an open session, as an operator asks. It returns the session as it was
// before. If the session is ending already, nothing changes. It returns false if there is
// no such session.
func (s *Server) CloseSession(ctx context.Context, id uint64) (was SessionStatus, found bool, err error) {
	err = s.onSlices(ctx, func(l *loop, slots []slot) bool {
		was, found = l.closeListed(slots, id)
		return !found
	})
	return was, found, err
}

// onSlices lets each loop do a job for each slice of its table, until the job returns false
// or ctx is done. One walk takes place at a time, so that a loop has one such job in a turn
// at most.
func (s *Server) onSlices(ctx context.Context, job func(*loop, []slot) (more bool)) error {
	select {
	case s.walking <- struct{}{}:
		defer func() { <-s.walking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, l := range s.loops {
		for from, more := 0, true; more; {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			ended, done := false, make(chan struct{})
			posted := l.post(func() {
				defer close(done)
				slots := l.table.slice(from)
				from += len(slots)
				more = len(slots) > 0
				ended = more && !job(l, slots)
			})
			if !posted {
				break
			}
			<-done
			if ended {
				return nil
			}
		}
	}
	return nil
}

// slice returns the slots of one job, and none behind the last.
func (t *table) slice(from int) []slot {
	slots, paths := t.slots[min(from, len(t.slots)):], 0
	for i := range min(sliceSlots, len(slots)) {
		if s := slots[i].session; s != nil {
			paths += len(s.path)
		}
		if paths >= slicePaths {
			return slots[:i+1]
		}
	}
	return slots[:min(sliceSlots, len(slots))]
}

// closeListed ends the session with this id, if it is in one of the slots. A panic on the
// way ends that session too.
func (l *loop) closeListed(slots []slot, id uint64) (was SessionStatus, found bool) {
	for i := range slots {
		s := slots[i].session
		if s == nil || s.opening != nil || s.id != id {
			continue
		}
		was = l.status(s)
		l.serve(s)
		l.end(s, proxy, metrics.Admin)
		l.update(s)
		return was, true
	}
	return was, false
}

// status returns what is known about an open session.
func (l *loop) status(s *session) SessionStatus {
	is := SessionStatus{
		ID:       s.id,
		Client:   s.remote(),
		Path:     s.path,
		Upstream: s.target.Name(),
		Address:  s.target.Address(),
		State:    SessionEnding,
		Age:      l.now.Sub(s.opened),
		Idle:     l.now.Sub(s.lastData),
	}
	switch s.cause.kind {
	case live:
		is.State = SessionLive
	case closing:
		is.State = SessionClosing
	case closed, dropped:
	}
	for _, side := range sides {
		g, leg := &s.legs[side], &is.Legs[side]
		leg.Frames, leg.Buffered = g.frames, g.buffered()
		leg.Silent = s.silent(side)
		if s.cause.kind == live {
			leg.Silent = time.Duration(momentOf(l.now)-s.silence[side]) * momentStep
		}
		leg.RTT, leg.Measured = g.beat.RTT()
		if a := l.app(s, side); a != nil {
			leg.AppRTT, leg.AppMeasured = a.beat.RTT()
		}
	}
	return is
}

// buffered returns how many bytes wait to be sent to the peer.
func (g *leg) buffered() int {
	if g.tail == nil {
		return 0
	}
	return len(g.tail.bytes())
}

// SessionName returns the name of a session in the log and for operators.
func SessionName(id uint64) string { return strconv.FormatUint(id, 36) }

// SessionID returns the id of the session with this name. It returns false if no session
// can have the name.
func SessionID(name string) (id uint64, ok bool) {
	id, err := strconv.ParseUint(name, 36, 64)
	return id, err == nil && SessionName(id) == name
}
