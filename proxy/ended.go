package proxy

import (
	"net/netip"
	"time"
)

// Ended tells how a session ended. It is made once, when both connections of the session
// are closed.
type Ended struct {
	ID       uint64
	Client   netip.AddrPort // port 0: a trusted proxy told its address; zero: the peer of a unix socket
	Path     string         // of the request, without its query, cut after 256 bytes
	Upstream string         // as in the metrics: scheme and authority
	Address  string         // of the upstream, as in the metrics

	// Closed says that a close handshake between the peers was completed; the peer on
	// Side began it. Otherwise the session was dropped for Reason, and Side is at fault.
	Closed bool
	Side   Side
	Reason Reason
	Detail string // more about the reason, in our words or the kernel's; may be empty

	Duration time.Duration // since its 101 was written
	Legs     [2]EndedLeg   // by side
}

// EndedLeg is one leg of a session that has ended.
type EndedLeg struct {
	Frames         uint64 // data frames received
	Received, Sent uint64 // bytes

	// CloseReceived and CloseSent are the codes of the Closes: 0 if there was none,
	// 1005 if it had no code (RFC 6455 7.1.5).
	CloseReceived, CloseSent uint16

	// Silent is for how long nothing had come from the peer when the end began, in steps
	// of 10 ms. What brought the end itself does not count: a Close or a broken frame.
	Silent time.Duration

	// RTT is the last round trip that was measured, if Measured.
	RTT      time.Duration
	Measured bool

	// AppRTT is the same for the application's heartbeat, if AppMeasured.
	AppRTT      time.Duration
	AppMeasured bool
}

// ended returns how s has ended.
func (l *loop) ended(s *session) Ended {
	e := Ended{
		ID:       s.id,
		Client:   s.remote(),
		Path:     s.path,
		Upstream: s.target.Name(),
		Address:  s.target.Address(),
		Closed:   s.cause.kind == closed,
		Side:     s.cause.side,
		Reason:   s.cause.reason,
		Duration: l.now.Sub(s.opened),
	}
	if s.cause.detail != nil {
		e.Detail = *s.cause.detail
	}
	for _, side := range sides {
		g := &s.legs[side]
		leg := &e.Legs[side]
		leg.Frames, leg.Received, leg.Sent = g.frames, g.received, g.sent
		leg.CloseReceived, leg.CloseSent = g.closeIn, g.closeOut
		leg.Silent = s.silent(side)
		leg.RTT, leg.Measured = g.beat.RTT()
		if a := l.app(s, side); a != nil {
			leg.AppRTT, leg.AppMeasured = a.beat.RTT()
		}
	}
	return e
}
