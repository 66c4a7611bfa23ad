package proxy

import (
	"errors"
	"os"

	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/socket"
)

var errUpstreamSilent = errors.New("no answer in time")

// resolve finds the backend's addresses and continues with dial.
func (l *loop) resolve(s *session) {
	o := s.opening
	o.state = resolving
	o.dialing = l.now
	o.by = l.now.Add(l.cfg.DialTimeout)
	if addrs, ok := s.backend.Known(l.now); ok {
		l.dial(s, addrs)
		return
	}
	o.forgo = s.backend.Lookup(func(addrs []socket.Endpoint, err error) {
		l.post(func() { l.resolved(s, addrs, err) })
	})
}

// resolved continues after a lookup, if the handshake still waits for it.
func (l *loop) resolved(s *session, addrs []socket.Endpoint, err error) {
	if !l.table.holds(s) || s.opening == nil || s.opening.state != resolving {
		return
	}
	l.serve(s)
	s.opening.forgo = nil
	if err != nil {
		l.dialFailed(s, "resolve upstream", err)
	} else {
		l.dial(s, addrs)
	}
	l.update(s)
}

func (l *loop) dial(s *session, addrs []socket.Endpoint) {
	o := s.opening
	o.dial = s.backend.Dial(addrs, l.now, o.by)
	o.state = dialing
	l.dialNext(s)
}

// dialNext connects to the next address. If no address is left, the handshake fails.
func (l *loop) dialNext(s *session) {
	o := s.opening
	for {
		by, more := o.dial.Next(l.now)
		if !more {
			l.dialFailed(s, "dial upstream", o.dial.Err())
			return
		}
		o.by = by
		conn, err := l.kernel.Connect(o.dial.To)
		switch {
		case err == nil:
			l.awaitConnect(s, conn)
			return
		case err == errAgain:
			o.by = o.dial.Full(l.now)
			return
		}
		o.dial.Missed(l.now, err)
	}
}

// awaitConnect waits for a connect under way. Without TLS it writes the request at once:
// see ask.
func (l *loop) awaitConnect(s *session, conn transport) {
	s.legs[upstream].open(conn)
	if s.backend.WantsTLS() {
		l.want(s, upstream, epoll.Out)
	} else {
		l.ask(s)
	}
}

// dialed continues when a connect has succeeded or failed.
func (l *loop) dialed(s *session) {
	if !s.backend.WantsTLS() {
		l.ask(s)
		return
	}
	if err := s.legs[upstream].io.Connected(); err != nil {
		l.addressFailed(s, err)
		return
	}
	l.secureUpstream(s)
}

// ask writes the request to a connection without TLS that may still be connecting. A
// connect to this machine has already succeeded here. Any other connection becomes
// writable later, and a connect that failed shows in the first write.
func (l *loop) ask(s *session) {
	l.makeRequest(s)
	n, err := s.legs[upstream].io.Write(s.opening.out)
	switch {
	case err == errAgain:
		l.want(s, upstream, epoll.Out)
	case err != nil:
		l.addressFailed(s, os.NewSyscallError("connect", err))
	default:
		l.connected(s)
		l.requestWritten(s, n)
	}
}

// hangUp gives up the connection to the upstream, on the loop or beside it.
func (l *loop) hangUp(s *session) {
	l.abortAway(s)
	l.cut(s, upstream)
}

// addressFailed records that the present address failed, and continues with the next one.
func (l *loop) addressFailed(s *session, err error) {
	s.opening.dial.Missed(l.now, err)
	l.cut(s, upstream)
	l.dialNext(s)
}

// dialTimeout gives up the present address when its time is up, or the whole dial if the
// lookup has not ended.
func (l *loop) dialTimeout(s *session) {
	o := s.opening
	late := backend.ErrTimeout
	if o.away != nil {
		late = backend.InTLS(late)
	}
	l.hangUp(s)
	if o.state == resolving {
		l.dialFailed(s, "resolve upstream", backend.ErrTimeout)
		return
	}
	o.dial.Missed(l.now, late)
	o.state = dialing
	l.dialNext(s)
}

// dialFailed ends a handshake for which no connection to the upstream could be made.
func (l *loop) dialFailed(s *session, step string, err error) {
	l.upstreamFailed(s, s.backend.Learn(err).Result(), step, err)
}
