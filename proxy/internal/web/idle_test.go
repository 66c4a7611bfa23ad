package web_test

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/internal/web"
)

// wantsIdle waits until so many connections wait for their next request: net/http
// says so some time after the client has its answer.
func (r *rig) wantsIdle(n int) {
	r.t.Helper()
	for end := time.Now().Add(patience); r.server.Idle() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%d connections are idle, want %d", r.server.Idle(), n)
		}
	}
}

// idles opens a connection that has had one answer.
func (r *rig) idles(account netip.Addr) *peer {
	r.t.Helper()
	before := r.server.Idle()
	client := r.opens(get, func(g *web.Guest) { g.Account = account })
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends(ok)
	client.wantsAnswer("the first", 200)
	r.wantsIdle(before + 1)
	return client
}

func TestYield(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if r.server.Yield() {
		t.Error("there was nothing to close")
	}
	first, second, third := r.idles(netip.Addr{}), r.idles(netip.Addr{}), r.idles(netip.Addr{})
	first.sends(get) // it idles again, and shorter than the others
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends(ok)
	first.wantsAnswer("the second", 200)
	r.wantsIdle(3)
	for _, client := range []*peer{second, third, first} {
		if !r.server.Yield() {
			t.Fatal("nothing was closed")
		}
		client.wantsEnd("it was idle longest")
	}
	r.wantsIdle(0)
}

// A connection on which something has come, or whose answer is under way, stays.
func TestYieldSparesWhoIsBusy(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.idles(netip.Addr{})
	client.sends(get[:5])
	r.wantsIdle(0)
	if r.server.Yield() {
		t.Error("it has begun to ask")
	}
	client.sends(get[5:])
	upstream := r.accepts()
	upstream.wantsHead()
	if r.server.Yield() {
		t.Error("it waits for its answer")
	}
	upstream.sends(ok)
	client.wantsAnswer("the second", 200)
	r.wantsIdle(1)
}

// meddled is a client's connection on which something happens at a certain moment.
type meddled struct {
	net.Conn
	reads func() // when bytes have come, before they are given on
	waits func() // when net/http is about to wait
}

func (m *meddled) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	if n > 0 {
		m.reads()
	}
	return n, err
}

func (m *meddled) SetReadDeadline(t time.Time) error {
	m.waits()
	return m.Conn.SetReadDeadline(t)
}

// Either a connection gives way or its next request is passed on, never both,
// wherever that request is at the time. Behind a body, it may be in net/http's buffer
// while the connection counts as idle.
func TestYieldOrTheNextRequest(t *testing.T) {
	t.Parallel()
	const post = "POST /a HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nhi"
	for _, tc := range []struct{ where, early, later string }{
		{"it is being read", get, post},
		{"it is in net/http's buffer", post + post, ""},
		{"it has been read before all", post + "POST /a HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("a", 5000) + "\r\n\r\n", ""},
	} {
		t.Run(tc.where, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			yielded := make(chan struct{})
			var once sync.Once
			yield := func() {
				if r.server.Idle() == 1 {
					once.Do(func() {
						r.server.Yield()
						close(yielded)
					})
				}
			}
			client := r.opens(tc.early, func(g *web.Guest) {
				m := &meddled{g.Conn, func() {}, func() {}}
				if tc.later != "" {
					m.reads = yield
				} else {
					m.waits = yield
				}
				g.Conn = m
			})
			upstream := r.accepts()
			upstream.wantsHead()
			if tc.early != get {
				upstream.wants("the first's body", "hi")
			}
			upstream.sends(ok)
			client.wantsAnswer("the first", 200)
			if tc.later != "" {
				r.wantsIdle(1)
				client.sends(tc.later)
			}
			<-yielded
			client.wantsCutOff("it has given way")
			r.wantsCounted(200)
			if n := r.dials.Load(); n != 1 {
				t.Errorf("the upstream was asked %d times, want once", n)
			}
		})
	}
}

func TestYieldOf(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	mine, others := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	nobodys, other := r.idles(netip.Addr{}), r.idles(others)
	first, second := r.idles(mine), r.idles(mine)
	for _, client := range []*peer{first, second} {
		if !r.server.YieldOf(mine) {
			t.Fatal("nothing was closed")
		}
		client.wantsEnd("it is the account's, and was idle longest")
	}
	if r.server.YieldOf(mine) || r.server.YieldOf(netip.Addr{}) {
		t.Error("somebody else's was closed")
	}
	r.wantsIdle(2)
	for _, client := range []*peer{nobodys, other} {
		client.sends(get)
		upstream := r.accepts()
		upstream.wantsHead()
		upstream.sends(ok)
		client.wantsAnswer("it stays", 200)
	}
}
