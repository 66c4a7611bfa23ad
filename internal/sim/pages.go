package main

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"time"

	"holdfast/proxy"
)

// Pages stand in for the server of pages, which is net/http's and has goroutines and timers
// of its own. To the loops they do what that does: they take connections, wait for places,
// close idle connections when they are asked to, give a connection back when an upgrade
// follows, and say when one is gone.
type pages struct {
	w       *World
	all     []*guest
	retired bool
	closed  bool
}

var _ proxy.Guests = (*pages)(nil)

// A guest is one connection, which a job serves.
type guest struct {
	*proxy.Guest
	pages *pages
	conn  *detached
	idle  bool
}

// idleTimeout is how long a connection may wait for its next request.
const idleTimeout = 75 * time.Second

// Serve implements proxy.Guests.
func (ps *pages) Serve(of *proxy.Guest) {
	ps.w.served++
	g := &guest{Guest: of, pages: ps, conn: of.Conn.(*detached)}
	ps.all = append(ps.all, g)
	ps.w.after(0, func() { ps.w.starts(g.serves) })
}

// Idle implements proxy.Guests.
func (ps *pages) Idle() (n int) {
	for _, g := range ps.all {
		if g.idle {
			n++
		}
	}
	return n
}

// Yield implements proxy.Guests.
func (ps *pages) Yield() bool {
	return ps.yields(func(*guest) bool { return true })
}

// YieldOf implements proxy.Guests.
func (ps *pages) YieldOf(account netip.Addr) bool {
	return ps.yields(func(g *guest) bool {
		is := g.Account == account
		if is {
			g.Account = netip.Addr{}
		}
		return is
	})
}

func (ps *pages) yields(is func(*guest) bool) bool {
	for _, g := range ps.all {
		if g.idle && is(g) {
			ps.w.see("page gives way")
			g.gives()
			return true
		}
	}
	return false
}

// gives ends an idle connection.
func (g *guest) gives() {
	g.idle = false
	g.conn.expired = true
	g.conn.moves()
}

// Retire implements proxy.Guests.
func (ps *pages) Retire() { ps.retired = true }

// Shutdown implements proxy.Guests. The simulation calls stops and cuts.
func (ps *pages) Shutdown(context.Context) (cut int) { return 0 }

// stops ends what is idle, and lets no connection be so any more.
func (ps *pages) stops() {
	ps.closed = true
	for _, g := range ps.all {
		if g.idle {
			g.gives()
		}
	}
}

// cuts ends all.
func (ps *pages) cuts() {
	for _, g := range slices.Clone(ps.all) {
		_ = g.conn.Close() // it may be closed already
	}
}

// serves answers requests until the client goes, or asks for a session.
func (g *guest) serves() {
	w := g.pages.w
	for {
		head, ok := g.reads()
		if !ok {
			break
		}
		if bytes.Contains(head, []byte("Upgrade: websocket")) {
			w.see("page becomes a session")
			w.rejoined++
			g.leaves()
			w.proxy.Rejoin(g.Guest, head)
			return
		}
		if !g.answers() || g.pages.retired {
			break
		}
	}
	g.leaves()
	_ = g.conn.Close() // it may be cut already
	w.proxy.Gone(g.Guest)
}

func (g *guest) leaves() {
	g.pages.all = slices.DeleteFunc(g.pages.all, func(other *guest) bool { return other == g })
}

// reads collects a head. What comes behind it stays in Early.
func (g *guest) reads() (head []byte, ok bool) {
	w := g.pages.w
	for {
		if end := bytes.Index(g.Early, endOfHead); end >= 0 {
			head, g.Early = g.Early[:end+len(endOfHead)], g.Early[end+len(endOfHead):]
			return head, true
		}
		if g.idle = len(g.Early) == 0; g.idle && g.pages.closed {
			return nil, false
		}
		g.conn.waitsUntil(w.now + idleTimeout)
		var b [512]byte
		n, err := g.conn.Read(b[:])
		if err != nil || g.conn.expired {
			g.idle = false
			return nil, false
		}
		g.idle = false
		g.Early = append(g.Early, b[:n]...)
	}
}

const page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"

// answers waits for a place, as for a dial, and answers a request.
func (g *guest) answers() bool {
	w, j := g.pages.w, g.pages.w.job
	placed := false
	leave := w.proxy.LineUp(w.choices.IntN(len(w.running)), func() { placed = true; j.wake() })
	if leave == nil {
		w.see("page without a target")
		return false
	}
	defer leave()
	by := w.now + w.plan.Knobs.HandshakeTimeout
	w.after(by-w.now, j.wake)
	for !placed {
		if !j.wait() || w.now >= by || g.conn.closed {
			return false
		}
	}
	dialled := w.now + spread(w.choices, time.Second)
	for w.now < dialled {
		w.after(dialled-w.now, j.wake)
		if !j.wait() || g.conn.closed {
			return false
		}
	}
	g.conn.waitsUntil(w.now + time.Minute)
	_, err := g.conn.Write([]byte(page))
	return err == nil
}

// paged: the client of a page has got it. It asks for another, or for a session, or leaves.
func (t *talk) paged() {
	t.pages++
	t.client.head = nil
	t.w.see("page")
	t.w.after(spread(t.w.choices, oneOf(t.w.choices, time.Second, 2*time.Minute)), func() {
		switch choice := t.w.choices.IntN(5); {
		case t.client.gone():
		case choice == 0:
			t.client.leaves()
		case choice == 1 && t.pages < 5:
			t.client.sendsInPieces([]byte(pageRequest))
		default:
			t.rejoins = true
			t.wantsPermit()
			t.asks()
			t.client.sendsInPieces([]byte(t.request()))
			t.w.after(t.client.headOut-t.w.now, t.wantsPermit)
		}
	})
}

const pageRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
