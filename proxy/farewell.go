package proxy

import (
	"github.com/gobwas/ws"

	"holdfast/metrics"
	"holdfast/proxy/internal/frame"
)

// A farewell says what one leg is told when its session is dropped.
type farewell struct {
	how  manner
	code uint16
	text string
}

// manner is how a leg ends when its session is dropped.
type manner uint8

const (
	cutOff   manner = iota // it is closed: its peer is dead, or takes nothing
	tell                   // it is sent a Close, after the message that is under way to it, and has time to answer
	tellDead               // it is sent a Close if one can be written now, and is closed at once
	tellLast               // it is sent a Close after the other leg has finished
)

// farewells returns what each leg is told when a session is dropped, by side. broken is
// the rule that a peer broke; nil if none was.
func farewells(c cause, codes CloseCodes, broken *frame.Violation) (f [2]farewell) {
	f[client] = farewell{tell, codes.UpstreamLost, "upstream connection lost"}
	f[upstream] = farewell{tell, uint16(ws.StatusGoingAway), "client connection lost"}
	switch c.reason {
	case metrics.PingTimeout:
		why := "keepalive ping timeout"
		if c.detail == &appTimeout {
			why = appTimeout
		}
		f[client].text, f[upstream].text = "upstream "+why, "client "+why
		code := codes.Timeout
		if c.side == upstream {
			code = uint16(ws.StatusInternalServerError)
		}
		f[c.side] = farewell{tellDead, code, why}
	case metrics.EOF, metrics.Reset, metrics.IOError:
		f[c.side] = farewell{how: cutOff}
	case metrics.WriteTimeout:
		f[client].text, f[upstream].text = "upstream write timeout", "client write timeout"
		f[c.side] = farewell{how: cutOff}
	case metrics.ProtocolError, metrics.TooBig:
		f[client].text, f[upstream].text = "upstream protocol error", "client protocol error"
		if c.reason == metrics.TooBig { // of a frame or of a message
			f[client].text, f[upstream].text = "upstream "+broken.Reason, "client "+broken.Reason
		}
		f[c.side] = farewell{tellLast, uint16(broken.Code), broken.Reason}
	case metrics.Internal:
		f[client] = farewell{tell, uint16(ws.StatusInternalServerError), "internal error"}
		f[upstream].text = "proxy internal error"
	default: // the proxy's own reasons
		f[client] = farewell{tell, codes.Drain, ownWords(c)}
		f[upstream].text = ownWords(c)
	}
	return f
}

// upstreamDrained is what both peers, and the log, are told when an operator has taken the
// session's upstream out of use.
var upstreamDrained = "upstream drained by operator"

// ownWords returns the text of a Close that the proxy sends for a reason of its own.
func ownWords(c cause) string {
	switch {
	case c.reason == metrics.IdleTimeout:
		return "idle timeout"
	case c.reason == metrics.MaxDuration:
		return "maximum session duration reached"
	case c.reason == metrics.Admin:
		return "closed by operator"
	case c.alone:
		return upstreamDrained
	default:
		return "proxy is shutting down"
	}
}

// say starts the farewell of one leg, unless a Close has been written to it.
func (l *loop) say(s *session, side Side, f farewell) {
	g := &s.legs[side]
	if g.io == nil || g.said() {
		return
	}
	if f.how == cutOff || g.out == outBroken {
		l.cut(s, side)
		return
	}
	g.closeOut = f.code
	if f.how == tellLast {
		g.holdsClose(closePayload(f))
		return
	}
	if f.how == tell && s.midMessage(side) {
		g.defersClose(l.now, &l.patience, closePayload(f))
		return
	}
	g.closes(l.now, &l.patience, closePayload(f))
	if f.how == tellDead {
		l.flush(s, side)
		l.cut(s, side)
	}
}

// closePayload returns the payload of a Close of ours. It is nil if f has no code, so
// that an empty Close is answered with an empty one.
func closePayload(f farewell) []byte {
	if f.code == emptyCode || f.code == noCode {
		return nil
	}
	return frame.AppendClosePayload(nil, ws.StatusCode(f.code), f.text)
}
