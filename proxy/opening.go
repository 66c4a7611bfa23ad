package proxy

import (
	"net/netip"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
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
