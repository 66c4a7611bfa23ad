package web_test

import (
	"net/netip"
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
