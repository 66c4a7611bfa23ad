package proxy

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/frame"
	"holdfast/proxy/internal/upgrade"
)

// opening is the state of an opening handshake. It exists from accept until
// the client's 101 is wholly written, or the client's refusal is.
type opening struct {
	state openingState
	by    heartbeat.Time // when the present step must be done

	began    heartbeat.Time // accepted
	dialing  heartbeat.Time // when the dial began
	upgraded heartbeat.Time // when the request began to go upstream

	refusal *upgrade.Refusal // decided at accept, answered when the head is in

	head    []byte // from the client: its request head, then what came behind it
	looked  int    // how much of head has been searched for the head's end
	offer   *upgrade.Offer
	dial    dial
	answer  *upgrade.Answer
	reply   []byte // from the upstream: its response head, then what came behind it
	scanned int    // how much of reply has been searched
	out     []byte // what is still to be written in this step
}

// openingState is the step that a handshake is at. Any step but the last two
// may also end it, see abandon.
type openingState uint8

const (
	awaitRequest openingState = iota // → resolving, refusing
	resolving                        // → dialing, refusing
	dialing                          // → sendRequest, refusing
	sendRequest                      // → awaitAnswer, refusing
	awaitAnswer                      // → sendAnswer, refusing, or both sockets leave the loop (refusal.go)
	sendAnswer                       // → the session is open
	refusing                         // an HTTP refusal is being written; → lingering
	lingering                        // it is written; the client's end is awaited
)

// accepted takes over a client's connection.
func (l *loop) accepted(conn transport, from netip.AddrPort, refusal *upgrade.Refusal) {
	s := &session{
		id:     l.server.nextID(),
		remote: from,
		origin: l.server.origin,
		timer:  heartbeat.Never,
		oldAt:  heartbeat.Never,
		opening: &opening{
			began:   l.now,
			by:      l.now.Add(l.cfg.HandshakeTimeout),
			refusal: refusal,
		},
	}
	for i := range s.legs {
		s.legs[i].by = heartbeat.Never
	}
	s.legs[client].io = conn
	l.table.add(s)
	l.want(s, client, readInterest)
	if l.draining {
		l.refuse(s, metrics.ResultDraining, refuseDraining)
	}
	l.update(s)
}

// openingReady handles a ready descriptor of a handshake.
func (l *loop) openingReady(s *session, side Side, ready epoll.Ready) {
	o := s.opening
	if side == client && o.state > awaitRequest && o.state < sendAnswer {
		l.clientStirs(s, ready)
		return
	}
	switch o.state {
	case awaitRequest:
		l.readRequest(s)
	case dialing:
		l.dialed(s)
	case sendRequest:
		l.writeRequest(s)
	case awaitAnswer:
		l.readAnswer(s)
	case sendAnswer:
		if side == client {
			l.writeAnswer(s)
		}
	case refusing:
		l.writeRefusal(s)
	case lingering:
		l.linger(s)
	case resolving: // no descriptor but the client's is there
	}
}

// clientStirs handles a client that does something while the upstream's answer
// is awaited. What it sends stays in the kernel; if it goes away, so do we.
func (l *loop) clientStirs(s *session, ready epoll.Ready) {
	if ready&(epoll.Ended|epoll.Broken) != 0 {
		l.abandon(s, metrics.ResultClientGone)
		return
	}
	l.want(s, client, epoll.Ended)
}

// readRequest collects the client's request head.
func (l *loop) readRequest(s *session) {
	o := s.opening
	n, err := s.legs[client].io.Read(l.in[:readSize])
	switch {
	case err == errAgain:
		return
	case err != nil:
		l.abandon(s, metrics.ResultClientGone)
		return
	}
	l.count(s, client, n)
	o.head = append(o.head, l.in[:n]...)
	end := upgrade.HeadEnd(o.head, o.looked)
	o.looked = len(o.head)
	if end > l.cfg.MaxHeaderSize || end < 0 && len(o.head) > l.cfg.MaxHeaderSize {
		l.refuse(s, metrics.ResultLimit, refuseHead)
		return
	}
	if end < 0 {
		return
	}
	head := o.head[:end]
	o.head = o.head[end:]
	l.requestRead(s, head)
}

// requestRead decides on the client's whole request head.
func (l *loop) requestRead(s *session, head []byte) {
	o := s.opening
	req, refusal := upgrade.ParseRequest(head)
	if refusal == nil {
		s.path = loggedPath(req.Path())
		o.offer, refusal = req.Check()
	}
	switch {
	case refusal != nil:
		l.refuse(s, metrics.ResultBadRequest, refusal)
	case o.refusal != nil:
		l.refuse(s, metrics.ResultLimit, o.refusal)
	default:
		l.resolve(s)
	}
}

// upstreamRequest is the request as it goes to the upstream.
func (l *loop) upstreamRequest(s *session) []byte {
	return s.opening.offer.AppendRequest(make([]byte, 0, 1024), upgrade.Via{
		Prefix:   s.origin.prefix,
		ClientIP: s.remote.Addr().String(),
		Proto:    "http",
	})
}

// connected begins the upstream's part of the handshake, with the first bytes
// of the request on their way.
func (l *loop) connected(s *session, written int) {
	o := s.opening
	l.metrics.HandshakeDuration(metrics.Dial, l.now.Sub(o.dialing))
	s.origin.works()
	o.state = sendRequest
	o.upgraded = l.now
	o.by = l.now.Add(l.cfg.HandshakeTimeout)
	l.requestWritten(s, written)
}

func (l *loop) writeRequest(s *session) {
	n, err := s.legs[upstream].write(s.opening.out)
	if err != nil {
		l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "send request to upstream", err)
		return
	}
	l.requestWritten(s, n)
}

func (l *loop) requestWritten(s *session, n int) {
	o := s.opening
	l.countSent(&s.legs[upstream], upstream, n)
	o.out = o.out[n:]
	if len(o.out) > 0 {
		l.want(s, upstream, epoll.Out)
		return
	}
	o.out = nil
	o.state = awaitAnswer
	l.want(s, upstream, readInterest)
}

// readAnswer collects the upstream's response head.
func (l *loop) readAnswer(s *session) {
	o := s.opening
	n, err := s.legs[upstream].io.Read(l.in[:readSize])
	switch {
	case err == errAgain:
		return
	case err != nil:
		l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "read upstream's answer", err)
		return
	}
	l.count(s, upstream, n)
	o.reply = append(o.reply, l.in[:n]...)
	l.scanAnswer(s)
}

// scanAnswer looks for a whole response head, and skips interim ones
// (RFC 9110 15.2: any number of them may come before the final one).
func (l *loop) scanAnswer(s *session) {
	o := s.opening
	for {
		end := upgrade.HeadEnd(o.reply, o.scanned)
		o.scanned = len(o.reply)
		if end > l.cfg.MaxHeaderSize || end < 0 && len(o.reply) > l.cfg.MaxHeaderSize {
			l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "upstream's answer", errHeadTooLarge)
			return
		}
		if end < 0 {
			return
		}
		r, err := upgrade.ParseResponse(o.reply[:end])
		switch {
		case err != nil:
			l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "upstream's answer", err)
			return
		case r.Interim():
			o.reply, o.scanned = o.reply[end:], 0
			continue
		case r.Status != http.StatusSwitchingProtocols:
			l.passRefusal(s)
			return
		}
		o.reply = o.reply[end:]
		l.switchProtocols(s, r)
		return
	}
}

// switchProtocols decides on a whole 101 of the upstream's.
func (l *loop) switchProtocols(s *session, r *upgrade.Response) {
	o := s.opening
	answer, err := o.offer.CheckAnswer(r)
	if err != nil {
		l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "upstream's answer", err)
		return
	}
	l.metrics.HandshakeDuration(metrics.Upgrade, l.now.Sub(o.upgraded))
	o.answer = answer
	o.out = answer.AppendResponse(nil)
	o.state = sendAnswer
	o.by = l.now.Add(l.cfg.HandshakeTimeout)
	l.writeAnswer(s)
}

func (l *loop) writeAnswer(s *session) {
	o, g := s.opening, &s.legs[client]
	n, err := g.write(o.out)
	if err != nil {
		l.abandon(s, metrics.ResultClientGone)
		return
	}
	l.countSent(g, client, n)
	o.out = o.out[n:]
	if len(o.out) > 0 {
		l.want(s, client, epoll.Out)
		l.want(s, upstream, 0)
		return
	}
	l.open(s)
}

// open is where a handshake becomes a session: from here on there are frames.
// What either peer sent too early is scanned like all that follows.
func (l *loop) open(s *session) {
	o := s.opening
	s.opening = nil
	s.opened, s.lastData = l.now, l.now
	s.oldAt = l.oldAt()
	phase := l.random.Float64()
	for _, side := range sides {
		g := &s.legs[side]
		g.scan = frame.NewScanner(side == client, o.answer.Deflate, l.cfg.MaxFrameSize)
		g.beat.Open(&l.rules[side], l.now, phase)
	}
	s.origin.gauges.Sessions(1)
	l.metrics.Opened()
	l.metrics.Handshake(metrics.ResultOK)
	l.metrics.HandshakeDuration(metrics.Total, l.now.Sub(o.began))
	l.take(s, client, o.head)
	l.take(s, upstream, o.reply)
	if l.draining { // its 101 went out while the proxy began to stop
		l.end(s, proxy, metrics.Drain)
	}
}

// oldAt is when a session that opens now is too old: a tenth earlier or later
// than the limit, so that sessions opened together do not end together.
func (l *loop) oldAt() heartbeat.Time {
	limit := l.cfg.MaxSessionDuration
	if limit == 0 {
		return heartbeat.Never
	}
	return l.now.Add(limit + durationShare(limit, 0.2*(l.random.Float64()-0.5)))
}

// openingTimeout ends a handshake whose present step took too long.
func (l *loop) openingTimeout(s *session) {
	switch s.opening.state {
	case awaitRequest:
		l.refuse(s, metrics.ResultTimeout, refuseSlowHead)
	case resolving, dialing:
		l.dialTimeout(s)
	case sendRequest, awaitAnswer:
		l.upstreamFailed(s, metrics.ResultTimeout, "await upstream's answer", errUpstreamSilent)
	case sendAnswer:
		l.abandon(s, metrics.ResultClientGone)
	case refusing, lingering:
		l.cutOpening(s)
	}
}

// upstreamFailed ends a handshake through the upstream's fault.
func (l *loop) upstreamFailed(s *session, result metrics.Result, step string, err error) {
	l.logHandshake(s, result, step, err)
	l.cut(s, upstream)
	l.refuse(s, result, upstreamRefusal(result, err))
}

// refuse answers a handshake with an HTTP error, which is counted as result.
func (l *loop) refuse(s *session, result metrics.Result, r *upgrade.Refusal) {
	o := s.opening
	if o.state >= refusing {
		return
	}
	l.metrics.Handshake(result)
	l.logRefusal(s, result, r)
	l.cut(s, upstream)
	o.state = refusing
	o.by = l.now.Add(l.cfg.HandshakeTimeout)
	o.out = r.Append(nil)
	o.head, o.reply = nil, nil
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

// linger reads what a refused client still sends, until it ends or its time is up.
func (l *loop) linger(s *session) {
	n, err := s.legs[client].io.Read(l.in[:])
	switch {
	case err == errAgain:
	case err != nil:
		l.cutOpening(s)
	default:
		l.count(s, client, n)
	}
}

// abandon ends a handshake whose client is not there to be told, or cannot be.
func (l *loop) abandon(s *session, result metrics.Result) {
	if s.opening.state < refusing {
		l.metrics.Handshake(result)
		l.logHandshake(s, result, "handshake", io.ErrUnexpectedEOF)
	}
	l.cutOpening(s)
}

// cutOpening is the one exit of a handshake that opened no session.
func (l *loop) cutOpening(s *session) {
	if !l.table.holds(s) {
		return
	}
	for _, side := range sides {
		l.cut(s, side)
	}
	l.release(s)
}

// retryAfter is what clients are told to wait when the proxy has no room, in seconds.
const retryAfter = 5

var (
	refuseDraining = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "The proxy is shutting down; try again.",
		Header: upgrade.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
	}
	refuseFull = &upgrade.Refusal{
		Status: http.StatusServiceUnavailable,
		Reason: "The proxy has as many sessions as it may have; try again later.",
		Header: upgrade.Fields{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}},
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
func upstreamRefusal(result metrics.Result, err error) *upgrade.Refusal {
	switch {
	case err == errPortsExhausted:
		return refuseFull
	case result == metrics.ResultTimeout:
		return &upgrade.Refusal{Status: http.StatusGatewayTimeout, Reason: "The upstream did not answer in time."}
	case result == metrics.ResultUpstreamUnreachable:
		return &upgrade.Refusal{Status: http.StatusBadGateway, Reason: "The upstream cannot be reached."}
	default:
		return &upgrade.Refusal{Status: http.StatusBadGateway, Reason: "The upstream gave no valid answer to the WebSocket handshake."}
	}
}
