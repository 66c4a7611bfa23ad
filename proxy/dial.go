package proxy

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
)

// dial is the state of a connect to one of several endpoints.
type dial struct {
	addrs []endpoint     // not tried yet
	by    heartbeat.Time // when all of it must be done
	err   error          // of the last one tried
}

var (
	errUpstreamSilent = errors.New("no answer in time")
	errDialTimeout    = errors.New("no connection in time")
	errHeadTooLarge   = errors.New("response head is larger than HOLDFAST_MAX_HEADER_SIZE")
	errPortsExhausted = errors.New("no local port is left for a connection to the upstream")
)

// resolve finds the upstream's addresses and goes on to dial them.
func (l *loop) resolve(s *session) {
	o := s.opening
	o.state = resolving
	o.dialing = l.now
	o.dial.by = l.now.Add(l.cfg.DialTimeout)
	o.by = o.dial.by
	if addrs, ok := s.origin.known(l.now); ok {
		l.dial(s, addrs)
		return
	}
	s.origin.lookup(l.cfg.DialTimeout, l.clock, func(addrs []endpoint, err error) {
		l.post(func() { l.resolved(s, addrs, err) })
	})
}

// resolved goes on when a lookup has ended, if the handshake still waits for it.
func (l *loop) resolved(s *session, addrs []endpoint, err error) {
	if !l.table.holds(s) || s.opening == nil || s.opening.state != resolving {
		return
	}
	if err != nil {
		l.upstreamFailed(s, metrics.ResultUpstreamUnreachable, "resolve upstream", err)
	} else {
		l.dial(s, addrs)
	}
	l.update(s)
}

func (l *loop) dial(s *session, addrs []endpoint) {
	s.opening.dial.addrs = addrs
	s.opening.state = dialing
	l.dialNext(s)
}

// queueFullPause is when a unix socket is tried again whose queue was full:
// unlike TCP's, its connect does not wait for room.
const queueFullPause = 20 * time.Millisecond

// dialNext tries the next address. Each gets an even share of the time left.
func (l *loop) dialNext(s *session) {
	o, g := s.opening, &s.legs[upstream]
	for len(o.dial.addrs) > 0 {
		to := o.dial.addrs[0]
		left := o.dial.by.Sub(l.now) / time.Duration(len(o.dial.addrs))
		conn, err := connect(to, l.server.options)
		if err == errAgain {
			o.by = min(o.dial.by, l.now.Add(queueFullPause))
			return
		}
		o.dial.addrs = o.dial.addrs[1:]
		if err != nil {
			o.dial.err = err
			continue
		}
		g.open(conn)
		o.by = l.now.Add(left)
		if s.origin.tls != nil {
			l.want(s, upstream, epoll.Out)
		} else {
			l.dialed(s)
		}
		return
	}
	l.dialFailed(s, o.dial.err)
}

// dialed tries to write the request. A connection on this machine is there as
// soon as it is asked for; any other will say when it is writable, and a failed
// one says so in its first write. One that is to have TLS gets that first.
func (l *loop) dialed(s *session) {
	o, g := s.opening, &s.legs[upstream]
	if conn, plain := g.io.(socket); plain && s.origin.tls != nil {
		if err := conn.connected(); err != nil {
			l.undialed(s, err)
			return
		}
		l.secureUpstream(s, conn)
		return
	}
	if o.out == nil {
		o.out = l.upstreamRequest(s)
		o.expected = o.offer.Expects()
		o.forgetRequest()
	}
	n, err := g.io.Write(o.out)
	switch {
	case err == errAgain:
		l.want(s, upstream, epoll.Out)
	case err != nil && s.origin.tls == nil: // with TLS the connection was there
		l.undialed(s, os.NewSyscallError("connect", err))
	case err != nil:
		l.undialed(s, err)
	default:
		l.connected(s, n)
	}
}

// hangUp gives the connection to the upstream up, wherever it is.
func (l *loop) hangUp(s *session) {
	l.callBack(s)
	l.cut(s, upstream)
}

// undialed goes on to the next address after one has failed.
func (l *loop) undialed(s *session, err error) {
	s.opening.dial.err = err
	l.cut(s, upstream)
	l.dialNext(s)
}

// dialTimeout gives up an address, or all of them.
func (l *loop) dialTimeout(s *session) {
	o := s.opening
	o.dial.err = errDialTimeout
	l.hangUp(s)
	if o.state != resolving && l.now < o.dial.by && len(o.dial.addrs) > 0 {
		o.state = dialing
		l.dialNext(s)
		return
	}
	l.dialFailed(s, errDialTimeout)
}

func (l *loop) dialFailed(s *session, err error) {
	s.origin.stale()
	switch {
	case err == errDialTimeout || errors.Is(err, unix.ETIMEDOUT) || errors.Is(err, os.ErrDeadlineExceeded):
		s.origin.fails(l.log, l.cfg.DialTimeout)
		l.upstreamFailed(s, metrics.ResultTimeout, "dial upstream", err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		l.upstreamFailed(s, metrics.ResultLimit, "dial upstream", errPortsExhausted)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		l.logHandshake(s, slog.LevelWarn, metrics.ResultLimit, "dial upstream", err)
		l.refuse(s, metrics.ResultLimit, refuseFull)
	default:
		s.origin.fails(l.log, l.cfg.DialTimeout)
		l.upstreamFailed(s, metrics.ResultUpstreamUnreachable, "dial upstream", err)
	}
}
