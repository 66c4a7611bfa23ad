package proxy

import (
	"errors"
	"os"

	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
)

var errUpstreamSilent = errors.New("no answer in time")

// nextTarget goes on to the next target of the route: it waits for a place in that
// target's queue, and connects. If an address must be looked up first, it waits for that.
// If no target is left, the handshake fails.
func (l *loop) nextTarget(s *session) {
	o := s.opening
	l.leaveTarget(s)
	switch o.route.Next(l.now) {
	case backend.Try:
		s.target, o.counted = o.route.To, true
		o.by = o.route.InTime(l.now.Add(l.cfg.HandshakeTimeout))
		l.claim(s, l.dialQueueOf(s.target), queued, (*loop).dial)
	case backend.Wait:
		l.awaitAddresses(s)
	case backend.End:
		l.noTarget(s)
	}
}

// leaveTarget counts that the handshake does not go to its target any more. The log goes on
// naming the target.
func (l *loop) leaveTarget(s *session) {
	if o := s.opening; o != nil && o.counted {
		o.counted = false
		s.target.Leave()
	}
}

// awaitAddresses waits until a lookup has found an address, or all have ended.
func (l *loop) awaitAddresses(s *session) {
	o := s.opening
	o.state = resolving
	o.beginsDial(l)
	o.by = o.route.Begin(l.now)
	o.forgo = l.server.pool.Await(func() {
		l.post(func() { l.resolved(s) })
	})
	if o.forgo == nil { // the lookup has ended meanwhile
		l.nextTarget(s)
	}
}

// beginsDial notes when the dial began.
func (o *opening) beginsDial(l *loop) {
	if o.dialing == 0 {
		o.dialing = l.now
	}
}

// resolved continues after a lookup, if the handshake still waits for it.
func (l *loop) resolved(s *session) {
	if !l.table.holds(s) || s.opening == nil || s.opening.state != resolving {
		return
	}
	l.serve(s)
	s.opening.forgo = nil
	l.nextTarget(s)
	l.update(s)
}

// dial connects to the target, for which the handshake has a place, unless the target must
// not be dialled any more.
func (l *loop) dial(s *session) {
	o := s.opening
	if err := o.route.Amiss(l.now); err != nil {
		l.passOver(s, err)
		return
	}
	o.beginsDial(l)
	o.route.Share(l.now)
	l.connect(s)
}

var errWentDown = errors.New("it went down before it was dialled")

// passOver goes on to another target without a dial to this one.
func (l *loop) passOver(s *session, err error) {
	l.vacate(s)
	s.opening.route.Skipped(err)
	l.nextTarget(s)
}

// connect connects to the target.
func (l *loop) connect(s *session) {
	o := s.opening
	o.state = dialing
	o.by = o.route.Until
	conn, err := l.kernel.Connect(s.target.Endpoint())
	switch {
	case err == nil:
		l.awaitConnect(s, conn)
	case err == errAgain && l.now < o.route.Until:
		o.by = o.route.Full(l.now)
	case err == errAgain:
		l.targetFailed(s, backend.ErrTimeout)
	default:
		l.targetFailed(s, err)
	}
}

// awaitConnect waits for a connect under way. Without TLS it writes the request at once:
// see ask.
func (l *loop) awaitConnect(s *session, conn transport) {
	s.legs[upstream].open(conn)
	if s.target.WantsTLS() {
		l.want(s, upstream, epoll.Out)
	} else {
		l.ask(s)
	}
}

// dialed continues when a connect has succeeded or failed.
func (l *loop) dialed(s *session) {
	if !s.target.WantsTLS() {
		l.ask(s)
		return
	}
	if err := s.legs[upstream].io.Connected(); err != nil {
		l.targetFailed(s, err)
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
		l.targetFailed(s, os.NewSyscallError("connect", err))
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

// targetFailed records that the present target failed before a byte of the request was
// sent, and goes on to the next one.
func (l *loop) targetFailed(s *session, err error) {
	o := s.opening
	l.hangUp(s)
	l.vacate(s)
	o.out = nil // the next target may be sent another Host
	if out := o.route.Missed(err); out == backend.Unreachable || out == backend.Unanswered {
		s.target.Counts().Handshake(out.Result())
	}
	l.nextTarget(s)
}

// dialTimeout gives up the present target when its time is up. It tries a target again
// whose queue was full. If a lookup has not ended in time, the handshake fails.
func (l *loop) dialTimeout(s *session) {
	o := s.opening
	switch {
	case o.state == resolving:
		err := o.route.Late()
		l.fail(s, l.server.undialledLevel(), metrics.ResultTimeout, "resolve upstream", err, l.server.undialledRefusal(err))
	case s.legs[upstream].io == nil && o.away == nil:
		l.connect(s)
	case o.away != nil:
		l.targetFailed(s, backend.InTLS(backend.ErrTimeout))
	default:
		l.targetFailed(s, backend.ErrTimeout)
	}
}

// noTarget ends a handshake for which no connection to an upstream could be made.
func (l *loop) noTarget(s *session) {
	resolved, err := s.opening.route.Err()
	step := "dial upstream"
	if !resolved {
		step = "resolve upstream"
	}
	l.fail(s, l.server.undialledLevel(), backend.OutcomeOf(err).Result(), step, err, l.server.undialledRefusal(err))
}
