package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/upgrade"
)

// upstreamFailed ends a handshake through the upstream's fault.
func (l *loop) upstreamFailed(s *session, result metrics.Result, step string, err error) {
	l.logHandshake(s, slog.LevelWarn, result, step, err)
	l.refuse(s, result, upstreamRefusal(result))
}

// refuse answers a handshake with an HTTP error, which is counted as result.
func (l *loop) refuse(s *session, result metrics.Result, r *upgrade.Refusal) {
	o := s.opening
	step := o.step()
	if step.over {
		return
	}
	if l.cfg.TLS != nil && step.beforeTLS {
		l.abandon(s, result, "TLS handshake with client", errors.New(r.Reason))
		return
	}
	l.metrics.Handshake(result)
	l.logRefusal(s, result, r)
	l.hangUp(s)
	l.vacate(s)
	o.state = refusing
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
	if s.seat == peraddress.TurnedAway { // no more than what the kernel takes at once
		l.cutOpening(s)
		return
	}
	if len(o.out) > 0 {
		l.want(s, client, epoll.Out)
		return
	}
	// Closing now, with input unread, would send a reset that can destroy the refusal.
	_ = g.io.CloseWrite() // it fails only if the connection is gone, which reading tells
	o.state = lingering
	o.by = l.now.Add(l.cfg.CloseTimeout)
	l.want(s, client, readInterest)
}

// linger reads what a refused client still sends, until it ends, its time is up or
// it floods.
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

// abandon ends a handshake whose client is not there to be told, or cannot be.
func (l *loop) abandon(s *session, result metrics.Result, step string, err error) {
	if !s.opening.step().over {
		l.metrics.Handshake(result)
		l.logHandshake(s, slog.LevelDebug, result, step, err)
	}
	l.cutOpening(s)
}

// forget lets go of all that only a handshake that goes on needs.
func (o *opening) forget() {
	o.head, o.reply, o.expected = nil, nil, nil
	o.forgetRequest()
}

// forgetRequest lets go of the client's request once the upstream's is made of it:
// the answer may be long in coming.
func (o *opening) forgetRequest() {
	o.request, o.offer, o.story = nil, nil, forwarded.Story{}
}

// cutOpening is the one exit of a handshake that opened no session, and whose
// sockets are with the loop to the end.
func (l *loop) cutOpening(s *session) {
	if !l.table.holds(s) {
		return
	}
	l.abortAway(s)
	for _, side := range sides {
		l.cut(s, side)
	}
	l.vacate(s)
	s.opening.forget() // a queue may hold the session for some time
	l.release(s)
}

// retryAfter is what clients are told to wait when the proxy has no room, in seconds.
const retryAfter = 5

var (
	refuseDraining = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "The proxy is shutting down; try again.",
		Header: field.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseFull = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "The proxy has as many sessions as it may have; try again later.",
		Header: field.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseBusy = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "The proxy has too many handshakes under way; try again later.",
		Header: field.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseAddress = &upgrade.Refusal{
		Status: http.StatusTooManyRequests,
		Reason: "Your address has as many connections as it may have; close one, or try again later.",
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
	refuseHead = &upgrade.Refusal{
		Status: http.StatusRequestHeaderFieldsTooLarge,
		Reason: "The request head is larger than the proxy accepts.",
	}
	refuseSlowHead = &upgrade.Refusal{
		Status: http.StatusRequestTimeout,
		Reason: "The request head did not arrive in time.",
	}
)

// upstreamRefusal is what a client is told when the upstream failed.
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
