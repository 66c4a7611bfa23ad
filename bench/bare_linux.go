package main

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"time"
)

// The bare pinger measures what heartbeats cost by themselves. It forwards a handshake
// unchanged. Afterwards it only pings both peers and discards what they send. It checks
// nothing, masks with zeros and forwards no frame. Most of its cost is the kernel's TCP.
// If another proxy costs more with idle sessions, the difference is the proxy's own cost.

// bareGrid is how often the pinger wakes up to send the pings that are due.
const bareGrid = 200 * time.Millisecond

var (
	barePing       = []byte{0x89, 8, 'h', 'o', 'l', 'd', 'f', 'a', 's', 't'}
	bareMaskedPing = []byte{0x89, 0x80 | 8, 0, 0, 0, 0, 'h', 'o', 'l', 'd', 'f', 'a', 's', 't'}
)

type pinger struct {
	loop     *loop
	upstream netip.AddrPort
	legs     []*bareLeg // both of each session, one after the other
	next     int        // the leg that was pinged last
	owed     float64    // how many pings are due
}

// A bareLeg is one connection of the pinger.
type bareLeg struct {
	pinger *pinger
	other  *conn // the session's other connection; nil until there is one
	ping   []byte
	open   bool // the handshake has passed
	conn   *conn
}

func runBare(arguments []string) error {
	if len(arguments) != 3 {
		return errors.New("bare needs the addresses to listen on and to proxy to, and an interval")
	}
	listen, errListen := netip.ParseAddrPort(arguments[0])
	upstream, errUpstream := netip.ParseAddrPort(arguments[1])
	interval, errInterval := time.ParseDuration(arguments[2])
	l, errLoop := newLoop()
	if err := errors.Join(errListen, errUpstream, errInterval, errLoop); err != nil {
		return err
	}
	p := &pinger{loop: l, upstream: upstream}
	if _, err := l.listen(listen, func() endpoint { return &bareLeg{pinger: p, ping: barePing} }); err != nil {
		return err
	}
	for due := time.Now().Add(bareGrid); ; {
		if err := l.turn(time.Until(due)); err != nil {
			return err
		}
		if time.Now().Before(due) {
			continue
		}
		due = due.Add(bareGrid)
		p.owed += float64(len(p.legs)) * bareGrid.Seconds() / interval.Seconds()
		if err := p.pings(); err != nil {
			return err
		}
	}
}

// pings sends the pings that are due. In between it reads what the peers send.
func (p *pinger) pings() error {
	for sent := 1; p.owed >= 1; sent++ {
		p.owed--
		p.next = (p.next + 1) % len(p.legs)
		g := p.legs[p.next]
		if g.conn != nil && g.conn.fd >= 0 {
			_ = g.conn.write(g.ping) // the next read of the connection returns the error, too
		}
		if sent%32 != 0 {
			continue
		}
		if err := p.loop.turn(0); err != nil {
			return err
		}
	}
	return nil
}

// received forwards the head, which must arrive in one read. It discards everything later.
func (g *bareLeg) received(c *conn, b []byte) error {
	if g.open {
		return nil
	}
	if !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		return errors.New("a head in pieces")
	}
	g.open = true
	if g.other != nil { // the answer
		return g.other.write(b)
	}
	g.conn = c
	far := &bareLeg{pinger: g.pinger, ping: bareMaskedPing, other: c}
	conn, err := g.pinger.loop.dial(g.pinger.upstream, bytes.Clone(b), far)
	if err != nil {
		return err
	}
	far.conn, g.other = conn, conn
	g.pinger.legs = append(g.pinger.legs, g, far)
	return nil
}

func (g *bareLeg) drained(*conn) error { return nil }

func (g *bareLeg) ended(*conn, error) {
	if g.other != nil {
		g.other.end(io.EOF)
	}
}
