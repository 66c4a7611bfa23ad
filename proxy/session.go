package proxy

import (
	"errors"
	"net/netip"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/peraddress"
)

// Side is one of a session's legs. In a cause it says who is at fault, and may also be
// the proxy.
type Side = metrics.Side

const (
	client   = metrics.Client
	upstream = metrics.Upstream
	proxy    = metrics.Proxy
)

var sides = [...]Side{client, upstream}

func opposite(side Side) Side { return upstream - side }

// A session is one client connection, one upstream connection, and the frames between
// them. Its loop owns it; no other goroutine touches it. An open, idle session is this
// struct and nothing else: no goroutine, no timer object, no buffer.
type session struct {
	// Static once the session is open.
	id     uint64
	addr   netip.Addr      // the client's; zero: the peer of a unix socket
	port   uint16          // the client's; 0: a trusted proxy told the address only
	seat   peraddress.Seat // how the connection counts for the client's address, see seat.go
	learnt bool            // the client has answered a ping
	slot   uint32          // in the loop's table
	path   string          // of the request, without its query; for the log
	target *backend.Target // where the request goes; nil until it is chosen

	// opening is the state of the opening handshake; nil once the session is open.
	opening *opening

	opened   heartbeat.Time // when the 101 was written
	lastData heartbeat.Time // when data last came from either peer
	silence  [2]moment      // by side: when bytes last came from the peer; once the session ends, how long ago that was
	until    heartbeat.Time // when a live session ends, or an ending one is cut, whatever its peers do
	timer    heartbeat.Time // when the wheel calls alarm; never later than due

	cause cause
	legs  [2]leg // by side
}

// remote returns where the client is; the zero AddrPort for the peer of a unix socket.
func (s *session) remote() netip.AddrPort { return netip.AddrPortFrom(s.addr, s.port) }

// admit adds s to the loop's table: from now on events and alarms find it. chooseLoop has
// already counted the client. A session leaves its loop by release, when both its
// connections are closed, or by detach, with them.
func (l *loop) admit(s *session) {
	l.table.add(s)
	s.timer = heartbeat.Never
}

// detach takes s out of the loop and returns the connections of its legs, by side. The
// caller owns them. The client stays counted, with its seat and its
// standing. On an error all of them are
// closed, because only closing removes a descriptor whose removal the poller has refused.
func (l *loop) detach(s *session) (conns [2]transport, err error) {
	for _, side := range sides {
		if g := &s.legs[side]; g.interest != 0 {
			err = errors.Join(err, l.kernel.Remove(g.io.FD()))
			g.interest = 0
		}
	}
	for _, side := range sides { // not earlier: until then a panic leaves all with the loop
		g := &s.legs[side]
		conns[side], g.io = g.io, nil
	}
	l.leaves(s)
	if err == nil {
		return conns, nil
	}
	for _, conn := range conns {
		if conn != nil {
			_ = l.server.panics.Guard(func() { _ = conn.Close() }) // err is the error to return
		}
	}
	return [2]transport{}, err
}

// release takes s, whose connections are closed, out of the loop, and counts its client
// as gone.
func (l *loop) release(s *session) {
	late, has := s.isLate(), s.standing()
	l.leaves(s)
	if late {
		l.server.gone(s.addr, s.seat, has)
	} else {
		l.server.left(s.addr, s.seat, has)
	}
}

// leaves frees the session's slot. From now on neither events nor alarms find s.
func (l *loop) leaves(s *session) {
	l.wheel.Cancel(s.slot)
	l.dropExtras(s)
	l.table.remove(s)
	l.sessions.Add(-1)
}
