package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/upgrade"
)

// upstreamFailed refuses a handshake because of the upstream.
func (l *loop) upstreamFailed(s *session, result metrics.Result, step string, err error) {
	if s.target != nil {
		s.target.Counts().Handshake(result)
	}
	l.fail(s, upstreamLevel(s.target), result, step, err, upstreamRefusal(result))
}

// refuse answers a handshake with an HTTP error, counts it as result and logs it. Before
// TLS it can only close the connection.
func (l *loop) refuse(s *session, result metrics.Result, r *upgrade.Refusal) {
	switch {
	case s.opening.step().over:
	case l.beforeTLS(s):
		l.abandon(s, result, "TLS handshake with client", errors.New(r.Reason))
	default:
		l.logRefusal(s, result, r)
		l.turnAway(s, result, r)
	}
}

// fail is like refuse, but logs the step that failed, and the error.
func (l *loop) fail(s *session, level slog.Level, result metrics.Result, step string, err error, r *upgrade.Refusal) {
	switch {
	case s.opening.step().over:
	case l.beforeTLS(s):
		l.abandon(s, result, step, err)
	default:
		l.logHandshake(s, level, result, step, err)
		l.turnAway(s, result, r)
	}
}

// beforeTLS reports whether the client cannot be answered, because TLS is not up.
func (l *loop) beforeTLS(s *session) bool { return l.cfg.TLS != nil && s.opening.step().beforeTLS }

// turnAway answers a handshake with an HTTP error and counts it as result.
func (l *loop) turnAway(s *session, result metrics.Result, r *upgrade.Refusal) {
	o := s.opening
	o.state = refusing // before all that may panic: a handshake is counted once
	l.metrics.Handshake(result)
	l.hangUp(s)
	l.vacate(s)
	l.leaveTarget(s)
	l.server.sendOut(&o.standing)
	o.by = l.now.Add(l.cfg.HandshakeTimeout)
	o.out = r.Append(nil)
	o.forget()
	s.legs[client].parting = true
	l.writeRefusal(s)
}

func (l *loop) writeRefusal(s *session) {
	o, g := s.opening, &s.legs[client]
	n, err := g.write(o.out)
	if err != nil {
		l.cutOpening(s)
		return
	}
	l.countSent(g, client, n)
	o.out = o.out[n:]
	if !l.waitsFor(s) {
		l.dropsInput(s)
		return
	}
	if len(o.out) > 0 {
		l.want(s, client, epoll.Out)
		return
	}
	// To close now, with input unread, would send a reset that can destroy the refusal.
	_ = g.io.CloseWrite() // it fails only if the connection has ended, which the next read shows
	o.state = lingering
	o.by = l.now.Add(l.cfg.CloseTimeout)
	hurryOut(l, s)
	l.want(s, client, readInterest)
}

// partsWithin is how long a refused client behind a shut door is waited for. It is enough
// for the refusal to arrive, and a client that is silent must not hold up a stop.
const partsWithin = 2 * time.Second

// hurryOut bounds the wait for a refused client once the door is shut.
func hurryOut(l *loop, s *session) {
	if l.shut {
		s.opening.by = min(s.opening.by, l.now.Add(partsWithin))
	}
}

// waitsFor reports whether there is room to wait for a refused client. Otherwise it gets
// what the kernel takes at once. Behind a shut door there are no newcomers to keep room for.
func (l *loop) waitsFor(s *session) bool {
	return s.seat != peraddress.TurnedAway && (s.opening.standing == inLobby || l.shut)
}

// dropsInput closes the connection of a refused client that is not waited for. It reads
// once before, because a close with input unread would send a reset.
func (l *loop) dropsInput(s *session) {
	if n, err := s.legs[client].io.Read(l.in[:], readSize); err == nil {
		l.count(s, client, n)
	}
	l.cutOpening(s)
}

// linger reads what a refused client still sends, until the client ends, its time is up,
// or it floods.
func (l *loop) linger(s *session) {
	o := s.opening
	n, err := s.legs[client].io.Read(l.in[:], readSize)
	if err == errAgain {
		return
	}
	l.count(s, client, n)
	o.wasted += n
	if err != nil || o.wasted > lastWordMax<<10 {
		l.cutOpening(s)
	}
}

// abandon ends a handshake without an answer to the client, which is gone or cannot be
// told anything.
func (l *loop) abandon(s *session, result metrics.Result, step string, err error) {
	if !s.opening.step().over {
		s.opening.state = lingering // so that it is counted once, even if its end panics
		l.metrics.Handshake(result)
		l.logHandshake(s, levelOf(result), result, step, err)
	}
	l.cutOpening(s)
}

// forget drops everything that only a handshake that goes on needs.
func (o *opening) forget() {
	o.head, o.reply, o.expected = nil, nil, nil
	o.forgetRequest()
}

// forgetRequest drops the client's request after the upstream's was made from it: the
// answer may take long.
func (o *opening) forgetRequest() {
	o.request, o.offer, o.story = nil, nil, forwarded.Story{}
}

// cutOpening is the one exit of a handshake that opened no session and whose connections
// stay with the loop. It closes both connections. After a panic it may be called again.
func (l *loop) cutOpening(s *session) {
	if !l.table.holds(s) {
		return
	}
	l.abortAway(s)
	for _, side := range sides {
		l.cut(s, side)
	}
	l.vacate(s)
	l.leaveTarget(s)
	s.opening.forget() // a queue may hold the session for some time
	l.release(s)
}

// retryAfter is how many seconds a client is told to wait when the proxy has no room.
const retryAfter = 5

var (
	refuseDraining = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "The proxy is shutting down; try again.",
		Header: field.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseFull = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "The proxy is at its limit of sessions; try again later.",
		Header: field.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseBusy = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "The proxy has too many handshakes under way; try again later.",
		Header: field.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseNoTarget = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "No upstream can be reached; try again later.",
		Header: field.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseAddress = &upgrade.Refusal{
		Status: http.StatusTooManyRequests,
		Reason: "Your address is at its limit of connections; close one, or try again later.",
		Header: field.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseOrigin = &upgrade.Refusal{
		Status: http.StatusForbidden,
		Reason: "Pages of this origin may not open sessions here.",
	}
	refusePreface = &upgrade.Refusal{
		Status: http.StatusBadRequest,
		Reason: "A trusted proxy must begin its connections with a PROXY protocol header.",
	}
	refusePlain = &upgrade.Refusal{
		Status: http.StatusBadRequest,
		Reason: "This port speaks TLS; use wss:// or https://.",
	}
	refuseSecure = &upgrade.Refusal{
		Status: http.StatusBadRequest,
		Reason: "This port does not speak TLS; use ws:// or http://.",
	}
	refuseHead = &upgrade.Refusal{
		Status: http.StatusRequestHeaderFieldsTooLarge,
		Reason: "The request head is larger than the proxy accepts.",
	}
	refuseSlowHead = &upgrade.Refusal{
		Status: http.StatusRequestTimeout,
		Reason: "The request head did not arrive in time.",
	}
)

// undialledRefusal returns the refusal that a client is sent whose request has reached no
// target, because of err. If there are several, or if an operator has taken them out of
// use, a later attempt may well succeed.
func (s *Server) undialledRefusal(err error) *upgrade.Refusal {
	result := backend.OutcomeOf(err).Result()
	ofTargets := result == metrics.ResultTimeout || result == metrics.ResultUpstreamUnreachable
	if ofTargets && (s.pool.Several() || errors.Is(err, backend.ErrNoTarget)) {
		return refuseNoTarget
	}
	return upstreamRefusal(result)
}

// upstreamRefusal returns the refusal that a client is sent when the upstream has failed.
func upstreamRefusal(result metrics.Result) *upgrade.Refusal {
	switch {
	case result == metrics.ResultLimit:
		return refuseFull
	case result == metrics.ResultTimeout:
		return &upgrade.Refusal{Status: http.StatusGatewayTimeout, Reason: "The upstream did not answer in time."}
	case result == metrics.ResultUpstreamUnreachable:
		return &upgrade.Refusal{Status: http.StatusBadGateway, Reason: "The upstream cannot be reached."}
	default:
		return &upgrade.Refusal{Status: http.StatusBadGateway, Reason: "The upstream gave no valid answer to the WebSocket handshake."}
	}
}
