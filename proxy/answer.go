package proxy

import (
	"net/http"
	"slices"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/frame"
	"holdfast/proxy/internal/upgrade"
)

// connected begins the upstream's part of the handshake.
func (l *loop) connected(s *session) {
	o := s.opening
	l.metrics.HandshakeDuration(metrics.Dial, l.now.Sub(o.dialing))
	o.dial.Reached()
	s.backend.Learn(nil)
	l.vacate(s)
	o.state = sendRequest
	o.upgraded = l.now
	o.by = l.now.Add(l.cfg.HandshakeTimeout)
}

// makeRequest makes the request that the upstream is asked, once, and lets go of
// what it was made from.
func (l *loop) makeRequest(s *session) {
	o := s.opening
	if o.out == nil {
		o.out = l.upstreamRequest(s)
		o.expected = o.offer.Expects()
		o.forgetRequest()
	}
}

// upstreamRequest is the request as it goes to the upstream.
func (l *loop) upstreamRequest(s *session) []byte {
	o := s.opening
	return o.offer.AppendRequest(make([]byte, 0, 1024), upgrade.Via{
		Prefix:   s.backend.Prefix(),
		Host:     l.cfg.UpstreamHost,
		Fields:   slices.Concat(o.story.Fields, l.cfg.UpstreamHeader),
		Believed: o.story.Believed,
	})
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
	n, err := s.legs[upstream].io.Read(l.in[:readSize], max(1, l.cfg.MaxHeaderSize-len(o.reply)+1))
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
		if err != nil {
			l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "upstream's answer", err)
			return
		}
		o.reply, o.scanned = o.reply[end:], 0
		switch {
		case r.Interim():
			continue
		case r.Status != http.StatusSwitchingProtocols:
			l.passRefusal(s, r)
		default:
			o.reply = following(o.reply, 0)
			l.switchProtocols(s, r)
		}
		return
	}
}

// switchProtocols decides on a whole 101 of the upstream's.
func (l *loop) switchProtocols(s *session, r *upgrade.Response) {
	o := s.opening
	answer, err := o.expected.CheckAnswer(r)
	if err != nil {
		l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "upstream's answer", err)
		return
	}
	l.metrics.HandshakeDuration(metrics.Upgrade, l.now.Sub(o.upgraded))
	o.expected, o.deflate = nil, answer.Deflate
	o.out = answer.AppendResponse(nil)
	o.state = sendAnswer
	o.by = l.now.Add(l.cfg.HandshakeTimeout)
	l.writeAnswer(s)
}

func (l *loop) writeAnswer(s *session) {
	o, g := s.opening, &s.legs[client]
	n, err := g.write(o.out)
	if err != nil {
		l.abandon(s, metrics.ResultClientGone, "send the 101", err)
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
	l.begin(s, o.deflate)
	s.backend.Sessions(1)
	l.metrics.Opened()
	l.metrics.Handshake(metrics.ResultOK)
	l.metrics.HandshakeDuration(metrics.Total, l.now.Sub(o.began))
	l.take(s, client, o.head)
	l.take(s, upstream, o.reply)
	if l.draining { // its 101 went out while the proxy began to stop
		l.end(s, proxy, metrics.Drain)
	}
}

// begin gives a session the state that it has when its first frame comes.
func (l *loop) begin(s *session, deflate bool) {
	s.opened, s.lastData = l.now, l.now
	s.until, s.why = l.oldAt(), metrics.MaxDuration
	phase := l.random.Float64()
	for _, side := range sides {
		g := &s.legs[side]
		g.scan = frame.NewScanner(side == client, deflate, l.cfg.MaxFrameSize)
		g.beat.Open(&l.rules[side], l.now, phase)
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
