package proxy

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"slices"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/preface"
	"holdfast/proxy/internal/upgrade"
)

// opening is the state of an opening handshake. It exists from accept, or from
// a connection's return from net/http, until the client's 101 is wholly written,
// the client's refusal is, or the client's socket leaves the loop.
type opening struct {
	state openingState
	by    heartbeat.Time // when the present step must be done

	began    heartbeat.Time // accepted
	dialing  heartbeat.Time // when the dial began
	upgraded heartbeat.Time // when the request began to go upstream

	refusal *upgrade.Refusal // decided at accept, answered when the head is in

	head     []byte // from the client: its request head, then what came behind it
	looked   int    // how much of head has been searched for the head's end
	request  *upgrade.Request
	nobody   bool            // a PROXY protocol header named no client
	story    forwarded.Story // who sent the request, and how the upstream is told
	offer    *upgrade.Offer
	place    *queue // where the handshake has a place; nil if nowhere
	forgo    func() // gives up the lookup that is waited for; nil if there is none
	dial     backend.Dial
	away     secured           // the leg whose TLS handshake is under way beside the loop
	expected *upgrade.Expected // what the answer is checked against; request, story and offer are gone by then
	deflate  bool              // permessage-deflate was agreed on
	reply    []byte            // from the upstream: its response head, then what came behind it
	scanned  int               // how much of reply has been searched
	out      []byte            // what is still to be written in this step
	wasted   int               // bytes that came after the refusal
}

// accepted takes over a client's connection, and its seat.
func (l *loop) accepted(conn transport, from netip.AddrPort, seat peraddress.Seat, refusal *upgrade.Refusal) {
	s := l.newHandshake(conn, from)
	s.seat = seat
	s.opening.refusal = refusal
	s.opening.state = l.firstWord()
	if l.cfg.ProxyProtocol && l.server.trust.Peer(from.Addr()) {
		s.opening.state = awaitPreface
	}
	if l.listenTo(s) && l.draining {
		l.refuse(s, metrics.ResultDraining, refuseDraining)
	}
	l.update(s)
}

// newHandshake makes a session of a client's connection, of which nothing is
// awaited yet.
func (l *loop) newHandshake(conn transport, from netip.AddrPort) *session {
	s := &session{
		id:    l.server.nextID(),
		addr:  from.Addr(),
		port:  from.Port(),
		until: heartbeat.Never,
		opening: &opening{
			began: l.now,
			by:    l.now.Add(l.cfg.HandshakeTimeout),
		},
	}
	for i := range s.legs {
		s.legs[i].by = heartbeat.Never
	}
	s.legs[client].io = conn
	l.admit(s)
	return s
}

// listenTo registers the client for reading. It returns false if the kernel has no
// room for another registration; the client is gone then.
func (l *loop) listenTo(s *session) bool {
	return l.want(s, client, readInterest)
}

// firstWord is what a client is expected to begin with.
func (l *loop) firstWord() openingState {
	if l.cfg.TLS != nil {
		return awaitHello
	}
	return awaitRequest
}

// openingReady handles a ready descriptor of a handshake.
func (l *loop) openingReady(s *session, side Side, ready epoll.Ready) {
	step := s.opening.step()
	switch {
	case side == client && step.clientWaits:
		l.clientStirs(s, ready)
	case side == step.leg && step.ready != nil:
		step.ready(l, s)
	}
}

// clientStirs handles a client that does something while it has to wait: for
// its turn, or for the upstream's answer. What it sends stays in the kernel; if it goes away, so do we.
func (l *loop) clientStirs(s *session, ready epoll.Ready) {
	if ready&(epoll.Ended|epoll.Broken) != 0 {
		l.abandon(s, metrics.ResultClientGone, "handshake", io.ErrUnexpectedEOF)
		return
	}
	l.want(s, client, epoll.Ended)
}

// readHead reads more of what a client begins with, which may have so many bytes,
// and reports whether there is more. The byte that makes it too long is read as
// well; what the peer sends behind stays in the kernel until it is its turn.
func (l *loop) readHead(s *session, most int) bool {
	o, conn := s.opening, s.legs[client].io
	n, err := conn.Read(l.in[:readSize], max(1, most-len(o.head)+1))
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

// following returns what follows the head that ends there, without the memory of the head.
func following(b []byte, end int) []byte {
	if end == len(b) {
		return nil
	}
	return bytes.Clone(b[end:])
}

// readPreface collects the PROXY protocol header, which names the client whom a
// trusted proxy connects for.
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
		l.logHandshake(s, slog.LevelDebug, metrics.ResultBadRequest, "PROXY protocol header", err)
		l.refuse(s, metrics.ResultBadRequest, refusePreface)
		return
	}
	if l.sit(s); s.seat == peraddress.TurnedAway {
		l.abandon(s, metrics.ResultLimitPerIP, "PROXY protocol header", errAddressFull)
		return
	}
	o.head = following(o.head, end)
	o.state = l.firstWord()
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
	s.opening.nobody = !known
	return err
}

// readRequest collects the client's request head.
func (l *loop) readRequest(s *session) {
	if l.readHead(s, l.cfg.MaxHeaderSize) {
		l.scanRequest(s)
	}
}

// scanRequest looks for the end of the request head.
func (l *loop) scanRequest(s *session) {
	o := s.opening
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
	s.path = loggedPath(o.request.Path())
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
	if result, refusal := l.unwelcome(s); refusal != nil {
		l.refuse(s, result, refusal)
		return
	}
	s.backend = l.server.pool.Pick(o.request)
	o.by = l.now.Add(l.cfg.HandshakeTimeout)
	l.claim(s, &l.dialQueue, queued, (*loop).resolve)
}

// passOrRefuse passes a request on that is not an upgrade. Behind a trusted proxy
// that names no client for the whole connection, the connection is the proxy's: it
// carries many clients' requests, and counts for nobody.
func (l *loop) passOrRefuse(s *session) {
	switch {
	case s.opening.refusal != nil:
		l.refuse(s, metrics.ResultLimit, s.opening.refusal)
	case !l.seated(s):
		l.refuse(s, metrics.ResultLimitPerIP, refuseAddress)
	default:
		l.passRequest(s)
	}
}

// learnClient finds out whom a trusted proxy speaks for. From here on that is
// the client: in the log and for the limits.
func (l *loop) learnClient(s *session) {
	o := s.opening
	o.story = l.server.trust.Resolve(forwarded.Hop{
		Peer: s.addr,
		TLS:  l.cfg.TLS != nil,
		Host: o.request.Fields.Get("Host"),

		Anonymous: o.nobody,
	}, o.request.Fields.Values)
	if o.story.Client != s.addr {
		s.addr, s.port = o.story.Client, 0
	}
	if s.seat == peraddress.Uncounted {
		s.seat = l.server.enter(s.addr)
	}
}

// unwelcome says why a proper handshake is not let in, if it is not.
func (l *loop) unwelcome(s *session) (metrics.Result, *upgrade.Refusal) {
	o := s.opening
	switch {
	case o.refusal != nil:
		return metrics.ResultLimit, o.refusal
	case !l.cfg.allows(o.request):
		return metrics.ResultOriginDenied, refuseOrigin
	case !l.seated(s):
		return metrics.ResultLimitPerIP, refuseAddress
	}
	return 0, nil
}

// allows reports whether the page that a request is made from may open a session.
// A client that is not a browser sends no Origin. An empty one is no page's that
// is allowed.
func (c *Config) allows(request *upgrade.Request) bool {
	origin, there := request.Origin()
	if !there || len(c.AllowedOrigins) == 0 {
		return true
	}
	return slices.ContainsFunc(c.AllowedOrigins, func(p OriginPattern) bool { return p.Matches(origin) })
}
