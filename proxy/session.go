package proxy

import (
	"errors"
	"net/netip"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
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
	id      uint64
	addr    netip.Addr       // the client's; zero: a unix socket's peer
	port    uint16           // the client's; 0: a trusted proxy has told the address only
	seat    peraddress.Seat  // how the session counts for its client's address, see seat.go
	learnt  bool             // the client has answered a ping
	slot    uint32           // in the loop's table
	path    string           // of the request, without its query; for the log
	backend *backend.Backend // where the request goes; nil until it is known

	// opening is the state of the opening handshake; nil once the session is open.
	opening *opening

	opened   heartbeat.Time // when the 101 had been written
	lastData heartbeat.Time // when a data frame last came from either peer
	until    heartbeat.Time // when the session ends, or its end is cut short, whatever its peers do
	timer    heartbeat.Time // what the wheel will call for; never later than due

	cause cause
	legs  [2]leg // by side
}

// remote is where the client is; the zero AddrPort for a unix socket's peer.
func (s *session) remote() netip.AddrPort { return netip.AddrPortFrom(s.addr, s.port) }

// A session comes to a loop by admit and leaves it by release, when both its
// connections are closed, or by detach, with them.

// admit makes s one of the loop's sessions: from now on events and alarms find it.
// Its client has been counted by chooseLoop.
func (l *loop) admit(s *session) {
	l.table.add(s)
	s.timer = heartbeat.Never
}

// detach takes s out of the loop, and returns the connections of its legs, which are
// the caller's now. The client and its seat are still counted. On an error they are
// closed: the poller cannot let go of them in another way.
func (l *loop) detach(s *session) (conns [2]transport, err error) {
	for _, side := range sides {
		g := &s.legs[side]
		conns[side] = g.io
		if g.interest != 0 {
			err = errors.Join(err, l.kernel.Remove(g.io.FD()))
		}
		g.io, g.interest = nil, 0
	}
	l.leaves(s)
	if err == nil {
		return conns, nil
	}
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close() // the first error is the one to tell
		}
	}
	return [2]transport{}, err
}

// release takes a session out of the loop whose connections are closed, and counts
// its client as gone.
func (l *loop) release(s *session) {
	l.leaves(s)
	l.server.left(s.addr, s.seat)
}

// leaves frees the session's slot. From now on neither events nor alarms find it.
func (l *loop) leaves(s *session) {
	l.wheel.Cancel(s.slot)
	l.table.remove(s)
	l.sessions.Add(-1)
}
