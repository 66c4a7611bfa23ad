package proxy

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/panics"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/secure"
)

// A TLS handshake is some hundred microseconds of arithmetic between waits, and
// crypto/tls performs it in one blocking call. So it runs in a goroutine, and the loop
// does not have the connection until it has ended.

// The parts of a TLS record's header that tell a handshake from anything else (RFC 8446
// 5.1).
const (
	recordHeader    = 5
	handshakeRecord = 22
	maxRecord       = 16 << 10
)

var errNoTLS = errors.New("the client's first bytes are not a TLS handshake")

// readHello collects the first record of a client's TLS handshake. A client takes no
// place and no goroutine before that record is there.
func (l *loop) readHello(s *session) {
	if l.readHead(s, recordHeader+maxRecord) {
		l.scanHello(s)
	}
}

func (l *loop) scanHello(s *session) {
	b := s.opening.head
	switch size := recordSize(b); {
	case b[0] >= 'A' && b[0] <= 'Z': // an HTTP request without TLS, which can be answered
		s.opening.state = awaitRequest
		l.refuse(s, metrics.ResultBadRequest, refusePlain)
	case b[0] != handshakeRecord, size > recordHeader+maxRecord:
		l.abandon(s, metrics.ResultBadRequest, "TLS handshake with client", errNoTLS)
	case len(b) >= size:
		l.claim(s, l.tlsQueue, greeting, (*loop).secureClient)
	}
}

// recordSize returns the size of the TLS record at the start of b, or of its header while
// the header is incomplete.
func recordSize(b []byte) int {
	if len(b) < recordHeader {
		return recordHeader
	}
	return recordHeader + int(binary.BigEndian.Uint16(b[3:]))
}

// crowdedTLSTimeout is how long a TLS handshake may take while more than half of the
// places are taken. A client that connects only to hold a place then does not delay the
// others for long.
const crowdedTLSTimeout = 2 * time.Second

func (l *loop) secureClient(s *session) {
	o := s.opening
	o.state = securing
	by := o.by
	if l.tlsQueue.places < l.tlsQueue.size/2 {
		by = min(by, l.now.Add(crowdedTLSTimeout))
	}
	conn := l.kernel.ServeTLS(s.legs[client].io, o.head, l.cfg.TLS)
	o.head = nil
	l.sendAway(s, client, conn, by, (*loop).clientSecured)
}

// secureUpstream starts the TLS handshake with the upstream, in the time that is left for
// the dial.
func (l *loop) secureUpstream(s *session) {
	o := s.opening
	o.state = securingUpstream
	conn := l.kernel.AskTLS(s.legs[upstream].io, s.target.TLS())
	l.sendAway(s, upstream, conn, o.by, (*loop).upstreamSecured)
}

// sendAway runs a leg's TLS handshake beside the loop, and calls then on the loop with
// its outcome.
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
	var err error
	if panicked := l.server.panics.Guard(func() { err = conn.Handshake(deadline) }); panicked != nil {
		err = panicked
	}
	if !l.post(func() { back(err) }) && err == nil {
		_ = conn.Close() // the loop has ended, and nothing can be done about an error
	}
}

// welcomeBack takes back a leg whose TLS handshake has ended, if the session still waits
// for it. Otherwise it closes the connection.
func (l *loop) welcomeBack(s *session, side Side, conn secured, err error, then func(*loop, *session, error)) {
	if !l.table.holds(s) || s.opening == nil || s.opening.away != conn {
		if err == nil {
			_ = conn.Close() // Abort came too late to fail the handshake
		}
		return
	}
	l.serve(s)
	s.opening.away = nil
	if err == nil {
		s.legs[side].open(conn) // before adopt: if that panics, the connection belongs to the session
		l.adopt(conn)
	}
	then(l, s, err)
	l.update(s)
}

// adopt lets a TLS connection use the loop's buffers.
func (l *loop) adopt(conn secured) {
	if l.scratch == nil {
		l.scratch = new(secure.Scratch)
	}
	conn.Adopt(l.scratch)
}

// abortAway ends what a handshake waits for beside the loop: its lookup, or the TLS
// handshake of a leg.
func (l *loop) abortAway(s *session) {
	o := s.opening
	if o == nil {
		return
	}
	forgo, away := o.forgo, o.away
	o.forgo, o.away = nil, nil
	if forgo != nil {
		forgo()
	}
	if away != nil {
		away.Abort()
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
		l.readRequest(s) // bytes that came with the end of the handshake are in user space
	case errors.Is(err, panics.ErrCaught):
		l.abandon(s, metrics.ResultInternal, "TLS handshake with client", err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
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
		l.targetFailed(s, backend.InTLS(err))
		return
	}
	l.makeRequest(s)
	n, err := s.legs[upstream].write(s.opening.out)
	if err != nil { // no byte has left: another target may be asked
		l.targetFailed(s, err)
		return
	}
	l.connected(s)
	l.requestWritten(s, n)
}

// isGone reports whether err means that the peer went away, and did not break the
// protocol.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}
