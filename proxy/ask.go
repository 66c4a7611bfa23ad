package proxy

import (
	"bytes"
	"slices"

	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/upgrade"
)

// connected records the connection to the upstream and starts the time for its answer.
func (l *loop) connected(s *session) {
	o := s.opening
	l.metrics.HandshakeDuration(metrics.Dial, l.now.Sub(o.dialing))
	s.target.Learn(nil)
	l.vacate(s)
	o.expected = o.offer.Expects()
	o.forgetRequest()
	o.state = sendRequest
	o.upgraded = l.now
	o.by = l.now.Add(l.cfg.UpstreamHandshakeTimeout)
}

// makeRequest makes the target's request, if it is not made yet.
func (l *loop) makeRequest(s *session) {
	o := s.opening
	if o.out == nil {
		o.out = l.upstreamRequest(s)
	}
}

// upstreamRequest returns the request as it is sent to the upstream. The request is built
// in scratch memory and then copied: the copy may wait until the upstream is connected.
func (l *loop) upstreamRequest(s *session) []byte {
	o := s.opening
	return bytes.Clone(o.offer.AppendRequest(l.in[:0], upgrade.Via{
		Prefix:   s.target.Prefix(),
		Host:     s.target.Host(),
		Fields:   slices.Concat(o.story.Fields, l.cfg.UpstreamHeader),
		Name:     l.server.name,
		Believed: o.story.Believed,
	}))
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
