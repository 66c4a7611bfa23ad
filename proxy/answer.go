package proxy

import (
	"bytes"
	"net/http"

	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/upgrade"
)

// readAnswer collects the upstream's response head.
func (l *loop) readAnswer(s *session) {
	o := s.opening
	n, err := s.legs[upstream].io.Read(l.in[:l.firstShare()], max(1, l.cfg.MaxHeaderSize-len(o.reply)+1))
	switch {
	case err == errAgain:
		return
	case err != nil:
		if len(o.reply) == 0 {
			s.target.BreaksOff()
		}
		l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "read upstream's answer", err)
		return
	}
	s.target.Answers()
	l.count(s, upstream, n)
	o.reply = append(o.reply, l.in[:n]...)
	l.scanAnswer(s)
}

// scanAnswer looks for a whole response head. It skips interim responses, of which any
// number may come before the final one (RFC 9110 15.2).
func (l *loop) scanAnswer(s *session) {
	o := s.opening
	for {
		if err := upgrade.CheckStart(o.reply); err != nil {
			l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "upstream's answer", err)
			return
		}
		end := upgrade.HeadEnd(o.reply, o.scanned)
		o.scanned = len(o.reply)
		if end > l.cfg.MaxHeaderSize || end < 0 && len(o.reply) > l.cfg.MaxHeaderSize {
			l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "upstream's answer", backend.ErrHeadTooLarge)
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

// switchProtocols checks a whole 101 from the upstream and begins to write the client's.
func (l *loop) switchProtocols(s *session, r *upgrade.Response) {
	o := s.opening
	answer, err := o.expected.CheckAnswer(r)
	if err != nil {
		l.upstreamFailed(s, metrics.ResultUpstreamInvalid, "upstream's answer", err)
		return
	}
	if answer.Unasked {
		s.target.NoteUnasked()
	}
	l.metrics.HandshakeDuration(metrics.Upgrade, l.now.Sub(o.upgraded))
	o.expected, o.deflate = nil, answer.Deflate
	o.out = bytes.Clone(answer.AppendResponse(l.in[:0]))
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
