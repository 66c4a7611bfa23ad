package proxy

import (
	"errors"
	"os"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/socket"
)

// A dial tries one of several addresses after another. It is the same for all
// who dial, on a loop and beside it.
type dial struct {
	to   socket.Endpoint   // the one that is tried
	left []socket.Endpoint // not tried yet
	by   heartbeat.Time    // when all of it must be done
	err  error             // what it fails with
}

func newDial(addrs []socket.Endpoint, by heartbeat.Time) dial {
	return dial{left: addrs, by: by, err: errDialTimeout}
}

// next goes on to the next address, and says by when it must be connected to:
// each gets an even share of the time left. It returns false if there is no
// address, or no time, left.
func (d *dial) next(now heartbeat.Time) (by heartbeat.Time, more bool) {
	if len(d.left) == 0 || now >= d.by {
		return 0, false
	}
	share := d.by.Sub(now) / time.Duration(len(d.left))
	d.to, d.left = d.left[0], d.left[1:]
	return now.Add(share), true
}

// missed notes why an address could not be connected to. The dial fails with the
// last such error, but if this host lacked something it fails with that: it
// would be said of the upstream else that it is down.
func (b *backend) missed(d *dial, now heartbeat.Time, err error) {
	if outcomeOf(d.err) != Unprovided {
		d.err = err
	}
	if out := outcomeOf(err); out == Unreachable || out == Unanswered {
		b.failures.failed(d.to, now)
	}
}

var (
	errUpstreamSilent = errors.New("no answer in time")
	errDialTimeout    = errors.New("no connection in time")
	errHeadTooLarge   = errors.New("response head is larger than HOLDFAST_MAX_HEADER_SIZE")
)

// resolve finds the backend's addresses and goes on to dial them.
func (l *loop) resolve(s *session) {
	o := s.opening
	o.state = resolving
	o.dialing = l.now
	o.by = l.now.Add(l.cfg.DialTimeout)
	if addrs, ok := s.backend.known(l.now); ok {
		l.dial(s, addrs)
		return
	}
	o.asked = s.backend.lookup(func(addrs []socket.Endpoint, err error) {
		l.post(func() { l.resolved(s, addrs, err) })
	})
}

// resolved goes on when a lookup has ended, if the handshake still waits for it.
func (l *loop) resolved(s *session, addrs []socket.Endpoint, err error) {
	if !l.table.holds(s) || s.opening == nil || s.opening.state != resolving {
		return
	}
	s.opening.asked = nil
	if err != nil {
		l.dialFailed(s, "resolve upstream", err)
	} else {
		l.dial(s, addrs)
	}
	l.update(s)
}

func (l *loop) dial(s *session, addrs []socket.Endpoint) {
	o := s.opening
	o.dial = newDial(s.backend.failures.order(addrs, l.now), o.by)
	o.state = dialing
	l.dialNext(s)
}

// queueFullPause is when a unix socket is tried again whose queue was full:
// unlike TCP's, its connect does not wait for room.
const queueFullPause = 20 * time.Millisecond

// dialNext tries the next address.
func (l *loop) dialNext(s *session) {
	o := s.opening
	for {
		by, more := o.dial.next(l.now)
		if !more {
			l.dialFailed(s, "dial upstream", o.dial.err)
			return
		}
		o.by = by
		conn, err := l.kernel.Connect(o.dial.to)
		switch {
		case err == nil:
			l.awaitConnect(s, conn)
			return
		case err == errAgain:
			o.dial.left = append([]socket.Endpoint{o.dial.to}, o.dial.left...)
			o.by = min(o.dial.by, l.now.Add(queueFullPause))
			return
		}
		s.backend.missed(&o.dial, l.now, err)
	}
}

// awaitConnect waits for a connection that has been asked for.
func (l *loop) awaitConnect(s *session, conn transport) {
	s.legs[upstream].open(conn)
	if s.backend.WantsTLS() {
		l.want(s, upstream, epoll.Out)
	} else {
		l.ask(s)
	}
}

// dialed goes on when a connect has come out.
func (l *loop) dialed(s *session) {
	if !s.backend.WantsTLS() {
		l.ask(s)
		return
	}
	if err := s.legs[upstream].io.Connected(); err != nil {
		l.undialed(s, err)
		return
	}
	l.secureUpstream(s)
}

// ask writes the request to a plain connection that may not be there yet. One on
// this machine is there as soon as it is asked for; any other will say when it is
// writable, and a failed one says so in its first write.
func (l *loop) ask(s *session) {
	l.makeRequest(s)
	n, err := s.legs[upstream].io.Write(s.opening.out)
	switch {
	case err == errAgain:
		l.want(s, upstream, epoll.Out)
	case err != nil:
		l.undialed(s, os.NewSyscallError("connect", err))
	default:
		l.connected(s)
		l.requestWritten(s, n)
	}
}

// hangUp gives the connection to the upstream up, wherever it is.
func (l *loop) hangUp(s *session) {
	l.abortAway(s)
	l.cut(s, upstream)
}

// undialed goes on to the next address after one has failed.
func (l *loop) undialed(s *session, err error) {
	s.backend.missed(&s.opening.dial, l.now, err)
	l.cut(s, upstream)
	l.dialNext(s)
}

// dialTimeout gives up an address, or all of them.
func (l *loop) dialTimeout(s *session) {
	o := s.opening
	l.hangUp(s)
	if o.state == resolving {
		l.dialFailed(s, "resolve upstream", errDialTimeout)
		return
	}
	s.backend.missed(&o.dial, l.now, errDialTimeout)
	o.state = dialing
	l.dialNext(s)
}

// dialFailed ends a handshake that got no connection.
func (l *loop) dialFailed(s *session, step string, err error) {
	l.upstreamFailed(s, s.backend.Learn(err).Result(), step, err)
}
