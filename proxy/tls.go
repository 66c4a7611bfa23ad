package proxy

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/secure"
)

// A TLS handshake is some hundred microseconds of arithmetic between waits, and
// crypto/tls wants it in one go. So it has a goroutine, and the descriptor is
// away from the loop until it has ended.

// TLS records, as far as their first tells a handshake from anything else
// (RFC 8446 5.1).
const (
	recordHeader    = 5
	handshakeRecord = 22
	maxRecord       = 16 << 10
)

var errNoTLS = errors.New("what the client began with is no TLS handshake")

// readHello collects the first record of a client's TLS handshake, so that a
// client has no place, and no goroutine, before it has said that much.
func (l *loop) readHello(s *session) {
	if l.readHead(s, recordHeader+maxRecord) {
		l.scanHello(s)
	}
}

func (l *loop) scanHello(s *session) {
	b := s.opening.head
	switch size := recordSize(b); {
	case b[0] >= 'A' && b[0] <= 'Z': // a request, which can be told that it is wrong here
		s.opening.state = awaitRequest
		l.refuse(s, metrics.ResultBadRequest, refusePlain)
	case b[0] != handshakeRecord, size > recordHeader+maxRecord:
		l.abandon(s, metrics.ResultBadRequest, "TLS handshake with client", errNoTLS)
	case len(b) >= size:
		l.claim(s, &l.tlsQueue, greeting, (*loop).secureClient)
	}
}

// recordSize is that of the TLS record at the start of b, or of its header while
// that is incomplete.
func recordSize(b []byte) int {
	if len(b) < recordHeader {
		return recordHeader
	}
	return recordHeader + int(binary.BigEndian.Uint16(b[3:]))
}

// hurried is how long a TLS handshake may take while every second place is
// taken: who connects only to stand in the queue does not hold the others up for long.
const hurried = 2 * time.Second

func (l *loop) secureClient(s *session) {
	o := s.opening
	o.state = securing
	by := o.by
	if l.tlsQueue.places < l.tlsQueue.size/2 {
		by = min(by, l.now.Add(hurried))
	}
	conn := l.kernel.ServeTLS(s.legs[client].io, o.head, l.cfg.TLS)
	o.head = nil
	l.sendAway(s, client, conn, by, (*loop).clientSecured)
}

// secureUpstream begins the handshake with the upstream, in what is left of
// the time to dial it.
func (l *loop) secureUpstream(s *session) {
	o := s.opening
	o.state = securingUpstream
	conn := l.kernel.AskTLS(s.legs[upstream].io, s.backend.TLS())
	l.sendAway(s, upstream, conn, s.opening.by, (*loop).upstreamSecured)
}

// sendAway lets a leg's handshake run beside the loop, and calls then when it is back.
func (l *loop) sendAway(s *session, side Side, conn secured, by heartbeat.Time, then func(*loop, *session, error)) {
	if !l.want(s, side, 0) {
		return
	}
	s.legs[side].io = nil
	s.opening.away = conn
	back := func(err error) { l.welcomeBack(s, side, conn, err, then) }
	l.server.beside(func() { l.shakeHands(conn, l.server.clock.wall(by), back) })
}

// shakeHands is the job of one handshake.
func (l *loop) shakeHands(conn secured, deadline time.Time, back func(error)) {
	err := conn.Handshake(deadline)
	if !l.post(func() { back(err) }) && err == nil {
		_ = conn.Close() // the loop has ended, and nobody is left to be told
	}
}

// welcomeBack takes a leg over again, if the session still waits for it.
func (l *loop) welcomeBack(s *session, side Side, conn secured, err error, then func(*loop, *session, error)) {
	if !l.table.holds(s) || s.opening == nil || s.opening.away != conn {
		if err == nil {
			_ = conn.Close() // it was called back too late to notice
		}
		return
	}
	s.opening.away = nil
	if err == nil {
		l.adopt(conn)
		s.legs[side].open(conn)
	}
	then(l, s, err)
	l.update(s)
}

// adopt makes a TLS connection one of the loop's.
func (l *loop) adopt(conn secured) {
	if l.scratch == nil {
		l.scratch = new(secure.Scratch)
	}
	conn.Adopt(l.scratch)
}

// abortAway ends what is done for a handshake beside the loop: the lookup that it
// waits for, or the TLS handshake of a leg that is away.
func (l *loop) abortAway(s *session) {
	o := s.opening
	if o == nil {
		return
	}
	if o.forgo != nil {
		o.forgo()
		o.forgo = nil
	}
	if o.away != nil {
		o.away.Abort()
		o.away = nil
	}
}

func (l *loop) clientSecured(s *session, err error) {
	l.vacate(s)
	switch {
	case err == nil:
		s.opening.state = awaitRequest
		if !l.listenTo(s) {
			return
		}
		if l.draining {
			l.refuse(s, metrics.ResultDraining, refuseDraining)
			return
		}
		l.readRequest(s) // what came with the end of the handshake is in user space
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		l.logHandshake(s, slog.LevelWarn, metrics.ResultLimit, "TLS handshake with client", err)
		l.abandon(s, metrics.ResultLimit, "TLS handshake with client", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.abandon(s, metrics.ResultTimeout, "TLS handshake with client", err)
	case isGone(err):
		l.abandon(s, metrics.ResultClientGone, "TLS handshake with client", err)
	default:
		l.abandon(s, metrics.ResultBadRequest, "TLS handshake with client", err)
	}
}

func (l *loop) upstreamSecured(s *session, err error) {
	s.opening.state = dialing
	if err != nil {
		l.undialed(s, err)
		return
	}
	l.makeRequest(s)
	l.connected(s)
	l.writeRequest(s)
}

// isGone reports whether a peer went away, rather than did something wrong.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}
