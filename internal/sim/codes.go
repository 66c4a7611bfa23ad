package main

import (
	"bytes"
	"strings"

	"holdfast/metrics"
	"holdfast/proxy"
)

// A told is what a peer must be told at the end: a Close of the proxy's, or nothing.
type told struct {
	code int // 0: no Close at all
	text string
	any  bool // the code is known and the text is not
}

// closeCodes are what each side is told when a session is dropped, by side.
func closeCodes(e *proxy.Ended) (c [2]told) {
	c[client], c[service] = told{code: 1012, any: true}, told{code: 1001, any: true}
	switch e.Reason {
	case metrics.PingTimeout:
		if e.Side == client {
			c[client], c[service] = told{1011, "keepalive ping timeout", false}, told{1001, "client keepalive ping timeout", false}
		} else {
			c[client], c[service] = told{1012, "upstream keepalive ping timeout", false}, told{1011, "keepalive ping timeout", false}
		}
		if e.Detail == appTimeout {
			for side := range c {
				c[side].text = strings.Replace(c[side].text, "keepalive ping timeout", appTimeout, 1)
			}
		}
	case metrics.EOF, metrics.Reset, metrics.IOError:
		c[client].text, c[service].text = "upstream connection lost", "client connection lost"
		c[client].any, c[service].any = false, false
		c[e.Side] = told{}
	case metrics.WriteTimeout:
		c[e.Side] = told{}
	case metrics.ProtocolError:
		c[e.Side] = told{code: 1002, any: true}
	case metrics.TooBig:
		c[e.Side] = told{code: 1009, any: true}
	case metrics.Internal:
		c[client].code = 1011
	case metrics.Admin:
		c[client], c[service] = told{1012, "closed by operator", false}, told{1001, "closed by operator", false}
	default:
	}
	return c
}

// wantsCodes holds the Closes that the peers have got against the table of close codes.
func (t *talk) wantsCodes() {
	if t.ended == nil {
		return
	}
	codes := closeCodes(t.ended)
	t.limitCodes(&codes)
	for _, p := range []*peer{t.client, t.service} {
		switch {
		case !p.hasClose:
			t.wantsNoneMissing(p)
		case p.other.closePayload != nil && bytes.Equal(p.gotClose, *p.other.closePayload): // it is the other peer's own
		case t.ended.Closed:
			t.w.fails("%v %d gets Close %q, and the other peer has sent something else", p.side, t.number, p.gotClose)
		case p.closing && p.closePayload != nil && t.echoes(p):
		case !codes[p.side].is(p.gotClose):
			t.w.fails("%v %d gets %s for %v %v (%s)", p.side, t.number, controlName(opClose, p.gotClose), t.ended.Side, t.ended.Reason, t.ended.Detail)
		}
	}
}

// limitCodes adds the texts for a frame or a message that is over a limit.
func (t *talk) limitCodes(c *[2]told) {
	if e := t.ended; e.Reason == metrics.TooBig {
		p := []*peer{t.client, t.service}[e.Side]
		if p.over != "" {
			c[e.Side] = told{1009, p.over, false}
			c[p.other.side].text, c[p.other.side].any = e.Side.String()+" "+p.over, false
		}
	}
}

// echoes reports whether a peer's own code came back to it.
func (t *talk) echoes(p *peer) bool {
	own := *p.closePayload
	return t.ended.Side != p.side && bytes.Equal(p.gotClose, own[:min(2, len(own))])
}

// wantsNoneMissing: a healthy peer whose stream has ended was told why, unless it had to
// be cut.
func (t *talk) wantsNoneMissing(p *peer) {
	e := t.ended
	cut := t.w.seen["fault poller"] > 0 || t.endedAt >= t.w.drain.cutAt || !e.Closed && (e.Reason == metrics.Internal || e.Reason == metrics.WriteTimeout && e.Side == p.side)
	if p.brokeAt != never || !p.ended || !p.open || cut || !p.parser.betweenFrames() || p.received() < len(p.other.sent) {
		return
	}
	t.w.fails("%v %d is not told that its session ends: %v %v", p.side, t.number, e.Side, e.Reason)
}

func (c told) is(payload []byte) bool {
	if len(payload) < 2 {
		return false
	}
	code, text := int(payload[0])<<8|int(payload[1]), string(payload[2:])
	return code == c.code && (c.any || text == c.text) || c.code == 1002 && code == 1007
}
