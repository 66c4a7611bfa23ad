package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/metrics"
	"holdfast/proxy/internal/secure"
)

// A TLS handshake is some hundred microseconds of arithmetic between waits, and
// crypto/tls wants it in one go. So it has a goroutine, and the descriptor is
// away from the loop until it has ended.

// greet begins a client's TLS handshake, or has it wait for a place.
func (l *loop) greet(s *session) {
	l.claim(s, &l.tlsLine, greeting, (*loop).secureClient)
}

func (l *loop) secureClient(s *session) {
	o := s.opening
	o.state = securing
	plain := s.legs[client].io.(socket)
	conn := secure.Server(int(plain), o.head, l.cfg.TLS)
	o.head = nil
	l.sendAway(s, client, conn, (*loop).clientSecured)
}

// secureUpstream begins the handshake with the upstream, in what is left of
// the time to dial it.
func (l *loop) secureUpstream(s *session, plain socket) {
	o := s.opening
	o.state = securingUpstream
	conn := secure.Client(int(plain), s.origin.tls())
	l.sendAway(s, upstream, conn, (*loop).upstreamSecured)
}

// sendAway has a leg's handshake done beside the loop, until the present step's
// deadline, and calls then when it is back.
func (l *loop) sendAway(s *session, side Side, conn *secure.Conn, then func(*loop, *session, error)) {
	l.want(s, side, 0)
	s.legs[side].io = nil
	s.opening.away = conn
	deadline := l.server.base.Add(time.Duration(s.opening.by))
	go func() {
		err := conn.Handshake(deadline)
		back := l.post(func() { l.welcomeBack(s, side, conn, err, then) })
		if !back && err == nil {
			_ = conn.Close() // the loop has ended, and nobody is left to be told
		}
	}()
}

// welcomeBack takes a leg over again, if the session still waits for it.
func (l *loop) welcomeBack(s *session, side Side, conn *secure.Conn, err error, then func(*loop, *session, error)) {
	if !l.table.holds(s) || s.opening == nil || s.opening.away != conn {
		if err == nil {
			_ = conn.Close() // it was called back too late to notice
		}
		return
	}
	s.opening.away = nil
	if err == nil {
		l.board(conn)
		s.legs[side].io = conn
	}
	then(l, s, err)
	l.update(s)
}

// board makes a TLS connection one of the loop's.
func (l *loop) board(conn *secure.Conn) {
	if l.scratch == nil {
		l.scratch = new(secure.Scratch)
	}
	conn.Board(l.scratch)
}

// callBack ends the handshake of a leg that is away.
func (l *loop) callBack(s *session) {
	if s.opening != nil && s.opening.away != nil {
		s.opening.away.Abort()
		s.opening.away = nil
	}
}

func (l *loop) clientSecured(s *session, err error) {
	l.vacate(s)
	switch {
	case err == nil:
		s.opening.state = awaitRequest
		l.want(s, client, readInterest)
		if l.draining {
			l.refuse(s, metrics.ResultDraining, refuseDraining)
			return
		}
		l.readRequest(s) // what came with the end of the handshake is in user space
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.abandon(s, metrics.ResultTimeout, "TLS handshake with client", err)
	case isGone(err):
		l.abandon(s, metrics.ResultClientGone, "TLS handshake with client", err)
	default:
		l.abandon(s, metrics.ResultBadRequest, "TLS handshake with client", err)
	}
}

func (l *loop) upstreamSecured(s *session, err error) {
	if err != nil {
		l.undialed(s, err)
		return
	}
	s.opening.state = dialing
	s.legs[upstream].in, s.legs[upstream].out = inOpen, outOpen
	l.dialed(s)
}

// isGone reports whether a peer went away, rather than did something wrong.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}
