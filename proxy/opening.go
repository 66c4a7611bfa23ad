package proxy

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/preface"
	"holdfast/proxy/internal/upgrade"
)

// opening is the state of an opening handshake. It exists from accept, or from a
// connection's return from net/http. It ends when the client's 101 or its refusal is
// wholly written, or when the client's connection leaves the loop.
type opening struct {
	state openingState
	by    heartbeat.Time // deadline of the present step

	began    heartbeat.Time // when the client was accepted
	dialing  heartbeat.Time // when the dial began
	upgraded heartbeat.Time // when the connection to the upstream was there

	standing standing // what the client has of the rooms: see room.go
	late     bool     // it has come during a drain, and is refused when its request has come

	head      []byte // from the client: its request head, then the bytes that came behind it
	looked    int    // how much of head has been searched for the head's end
	request   *upgrade.Request
	anonymous bool            // a PROXY protocol header came and named no client
	story     forwarded.Story // who sent the request, and the fields that tell the upstream
	offer     *upgrade.Offer
	place     *queue // the queue in which the handshake has a place; nil if it has none
	forgo     func() // gives up the lookup under way; nil if there is none
	route     backend.Route
	counted   bool              // the target counts the handshake
	away      secured           // the connection whose TLS handshake is under way beside the loop
	expected  *upgrade.Expected // what the answer is checked against; request, story and offer are dropped by then
	deflate   bool              // permessage-deflate was agreed on
	reply     []byte            // from the upstream: its response head, then the bytes that came behind it
	scanned   int               // how much of reply has been searched for the head's end
	out       []byte            // what is still to be written in this step
	wasted    int               // bytes that came after the refusal
}

// accepted starts the handshake of a client that has connected, and takes over its
// connection, its seat and what it has of the rooms.
func (l *loop) accepted(conn transport, from netip.AddrPort, seat peraddress.Seat, has standing) {
	s := l.newHandshake(conn, from, seat, has)
	s.opening.state = l.firstState()
	if l.cfg.ProxyProtocol && l.server.trust.Peer(from.Addr()) {
		s.opening.state = awaitPreface
	}
	switch {
	case !l.listenTo(s):
	case l.shut:
		l.refuse(s, metrics.ResultDraining, refuseDraining)
	case l.draining:
		l.comesLate(s)
	}
	l.update(s)
}

// newHandshake returns a session for a client's connection, which the loop does not wait
// for yet.
func (l *loop) newHandshake(conn transport, from netip.AddrPort, seat peraddress.Seat, has standing) *session {
	s := &session{
		id:    l.server.nextID(),
		addr:  from.Addr(),
		port:  from.Port(),
		seat:  seat,
		until: heartbeat.Never,
		opening: &opening{
			began: l.now,
			by:    l.now.Add(l.cfg.HandshakeTimeout),

			standing: has,
		},
	}
	for i := range s.legs {
		s.legs[i].by = heartbeat.Never
	}
	s.legs[client].io = conn
	l.admit(s)
	l.serve(s)
	return s
}

// listenTo registers the client for reading. It returns false if the kernel refused; the
// session has ended then.
func (l *loop) listenTo(s *session) bool {
	return l.want(s, client, readInterest)
}

// firstState returns the state in which the client's first bytes are awaited.
func (l *loop) firstState() openingState {
	if l.cfg.TLS != nil {
		return awaitHello
	}
	return awaitRequest
}

// openingReady handles an event on a leg of a handshake.
func (l *loop) openingReady(s *session, side Side, ready epoll.Ready) {
	step := s.opening.step()
	switch {
	case side == client && step.clientWaits:
		l.waitingClientReady(s, ready)
	case side == step.leg && step.ready != nil:
		step.ready(l, s)
	}
}

// waitingClientReady handles an event of a client that waits for a place or for the
// upstream's answer. What the client sends stays in the kernel. If the client goes away,
// the handshake ends.
func (l *loop) waitingClientReady(s *session, ready epoll.Ready) {
	if ready&(epoll.Ended|epoll.Broken) != 0 {
		l.abandon(s, metrics.ResultClientGone, "handshake", io.ErrUnexpectedEOF)
		return
	}
	l.want(s, client, epoll.Ended)
}

// readHead reads more of the client's head, which may have at most so many bytes, and
// reports whether bytes came. It also reads the one byte that makes the head too long.
// What the client sends behind that stays in the kernel until it is needed.
func (l *loop) readHead(s *session, most int) bool {
	o, conn := s.opening, s.legs[client].io
	n, err := conn.Read(l.in[:l.firstShare()], max(1, most-len(o.head)+1))
	switch {
	case err == errAgain:
		return false
	case err != nil:
		l.abandon(s, metrics.ResultClientGone, "handshake", err)
		return false
	}
	l.count(s, client, n)
	o.head = append(o.head, l.in[:n]...)
	return true
}

// following returns a copy of b[end:], so that the memory of the head before it can be
// freed.
func following(b []byte, end int) []byte {
	if end == len(b) {
		return nil
	}
	return bytes.Clone(b[end:])
}

// readPreface collects the PROXY protocol header, in which a trusted proxy names its
// client.
func (l *loop) readPreface(s *session) {
	if !l.readHead(s, preface.MaxSize) {
		return
	}
	o := s.opening
	end, err := preface.End(o.head)
	if err == nil && end == 0 {
		return
	}
	if err == nil {
		err = l.learnSource(s, o.head[:end])
	}
	if err != nil {
		l.fail(s, slog.LevelInfo, metrics.ResultBadRequest, "PROXY protocol header", err, refusePreface)
		return
	}
	if l.sit(s); s.seat == peraddress.TurnedAway {
		l.abandon(s, metrics.ResultLimitPerIP, "PROXY protocol header", errAddressFull)
		return
	}
	o.head = following(o.head, end)
	o.state = l.firstState()
	switch {
	case len(o.head) == 0:
	case o.state == awaitHello:
		l.scanHello(s)
	default:
		l.scanRequest(s)
	}
}

func (l *loop) learnSource(s *session, header []byte) error {
	source, known, err := preface.Source(header)
	if known {
		s.addr, s.port = source.Addr(), source.Port()
	}
	s.opening.anonymous = !known
	return err
}

// readRequest collects the client's request head.
func (l *loop) readRequest(s *session) {
	if l.readHead(s, l.cfg.MaxHeaderSize) {
		l.scanRequest(s)
	}
}

// scanRequest looks for the end of the request head. What is TLS has none, and is refused
// at once.
func (l *loop) scanRequest(s *session) {
	o := s.opening
	if len(o.head) > 0 && o.head[0] == handshakeRecord {
		l.refuse(s, metrics.ResultBadRequest, refuseSecure)
		return
	}
	end := upgrade.HeadEnd(o.head, o.looked)
	o.looked = len(o.head)
	if end > l.cfg.MaxHeaderSize || end < 0 && len(o.head) > l.cfg.MaxHeaderSize {
		l.refuse(s, metrics.ResultLimit, refuseHead)
		return
	}
	if end >= 0 {
		l.requestRead(s, end)
	}
}

// requestRead decides on the client's whole request head.
func (l *loop) requestRead(s *session, end int) {
	o := s.opening
	var refusal *upgrade.Refusal
	if o.request, refusal = upgrade.ParseRequest(o.head[:end]); refusal != nil {
		l.refuse(s, metrics.ResultBadRequest, refusal)
		return
	}
	s.path = o.request.LoggedPath()
	if s.isLate() {
		l.refuse(s, metrics.ResultDraining, refuseDraining)
		return
	}
	if !l.cfg.RefuseHTTP && !o.request.WantsWebSocket() {
		l.passOrRefuse(s)
		return
	}
	l.learnClient(s)
	o.head = following(o.head, end)
	if o.offer, refusal = o.request.Check(); refusal != nil {
		l.refuse(s, metrics.ResultBadRequest, refusal)
		return
	}
	if l.cfg.NoCompression || l.cfg.readsMessages() {
		o.offer.LeaveOutCompression()
	}
	if result, refusal := l.refusalFor(s); refusal != nil {
		l.refuse(s, result, refusal)
		return
	}
	o.route = l.server.pool.Route(o.request, s.addr)
	l.nextTarget(s)
}

// passOrRefuse passes on a request that is not an upgrade, or refuses it. Such a request
// needs a place inside, and no permit. If a trusted proxy has named no client for the whole
// connection, the connection carries the requests of many clients and counts for none of
// them.
func (l *loop) passOrRefuse(s *session) {
	switch {
	case !l.server.bringIn(&s.opening.standing):
		l.refuse(s, metrics.ResultLimit, refuseFull)
	case !l.seated(s):
		l.refuse(s, metrics.ResultLimitPerIP, refuseAddress)
	default:
		l.passRequest(s)
	}
}

// learnClient finds out who sent the request, from the fields that a trusted proxy adds.
// From here on that client is the one in the log and for the limits.
func (l *loop) learnClient(s *session) {
	o, peer := s.opening, s.addr
	o.story = l.server.trust.Resolve(forwarded.Hop{
		Peer: peer,
		TLS:  l.cfg.TLS != nil,
		Host: o.request.Fields.Get("Host"),

		Anonymous: o.anonymous,
	}, o.request.Fields.Values)
	if o.story.Client != s.addr {
		s.addr, s.port = o.story.Client, 0
	}
	if !l.server.trust.Peer(peer) && o.request.Fields.Count(field.XForwardedFor) > 0 {
		l.server.notBelieved(peer)
	}
	if s.seat == peraddress.Uncounted {
		s.seat = l.server.enter(s.addr)
	}
}

// refusalFor returns the refusal of a valid handshake request and how it is counted; the
// refusal is nil if the request may go on.
func (l *loop) refusalFor(s *session) (metrics.Result, *upgrade.Refusal) {
	o := s.opening
	switch {
	case !l.server.permit(&o.standing):
		return metrics.ResultLimit, refuseFull
	case l.server.hasPassed(o.request):
		return metrics.ResultBadRequest, upgrade.RefuseLoop
	case !l.cfg.allows(o.request):
		return metrics.ResultOriginDenied, refuseOrigin
	case !l.seated(s):
		return metrics.ResultLimitPerIP, refuseAddress
	}
	return 0, nil
}

// allows reports whether the page that sent the request may open a session. A client that
// is not a browser sends no Origin, and may.
func (c *Config) allows(request *upgrade.Request) bool {
	origin, there := request.Origin()
	return !there || AllowsOrigin(c.AllowedOrigins, origin)
}
