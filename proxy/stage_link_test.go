package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

// A corked transport notes whether the kernel may be holding bytes back.
type corked struct {
	transport
	last    []byte // what WriteLast was given
	holding bool   // WriteLast was called, and neither CloseWrite nor Close
	link    *link  // nil: bytes are at the peer as soon as they are written
	taken   int64  // bytes written
	wrote   func() // is called after each write; may be nil
}

// A link is a network with a TCP that acknowledges when the test says so.
type link struct {
	leg   *corked
	st    *stage
	acked int64
	heard heartbeat.Time // when an acknowledgement last came
	gap   bool           // of bytes behind others that were lost
	data  heartbeat.Time // when bytes of its peer last came
	full  bool           // its peer has no room, and acknowledges probes
}

// slows puts a slow link under a peer's leg: from now on nothing is acknowledged unless
// the test says so.
func (p *peer) slows() *link {
	leg := p.st.l.session(p).legs[p.side].io.(*corked)
	leg.link = &link{leg: leg, st: p.st, acked: leg.taken}
	return leg.link
}

// acknowledges lets n bytes more reach the peer's TCP, at the most all that there are.
func (l *link) acknowledges(n int64) {
	l.acked = min(l.acked+n, l.leg.taken)
	l.heard = l.st.now
}

func (c *corked) Unacked() int {
	if c.link == nil {
		return c.transport.Unacked()
	}
	return int(c.taken - c.link.acked)
}

func (c *corked) Unsent() int { return c.Unacked() }

func (c *corked) LastACKs() socket.ACKs {
	if c.link == nil {
		return c.transport.LastACKs()
	}
	if c.link.full {
		return socket.ACKs{Last: time.Second, Full: true}
	}
	now := c.link.st.now
	return socket.ACKs{Last: now.Sub(c.link.heard), Gap: c.link.gap, Data: now.Sub(c.link.data)}
}

func (c *corked) Write(b []byte) (int, error) {
	n, err := c.transport.Write(b)
	c.taken += int64(n)
	if c.wrote != nil {
		c.wrote()
	}
	return n, err
}

func (c *corked) WriteLast(b []byte) (int, error) {
	c.last = append(c.last, b...)
	n, err := c.transport.WriteLast(b)
	c.taken += int64(n)
	c.holding = n == len(b)
	return n, err
}

func (c *corked) CloseWrite() error {
	c.holding = false
	return c.transport.CloseWrite()
}

func (c *corked) Close() error {
	c.holding = false
	return c.transport.Close()
}
