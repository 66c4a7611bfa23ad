package proxy_test

import (
	"net/http"
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// Refused clients that do not end TCP keep nobody out: a permit that becomes free is the next
// client's, and a client that finds none is told so.
func TestLazyRefusedClientsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	const sessions, lazy = 10, 64
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessions = sessions })
	type session struct{ client, upstream *peer }
	var open []session
	for range sessions {
		client, upstream := r.opens()
		open = append(open, session{client, upstream})
	}
	refuses := func() *peer {
		client := r.dials()
		client.sendsString(wire.Request())
		client.wantsRefusal("all sessions are taken", http.StatusServiceUnavailable)
		return client
	}
	for range lazy {
		refuses()
	}
	r.eventually("all of them are waited for", func() bool { return r.server.Clients() == sessions+lazy })
	refuses().wantsEnd("one more is told, and not waited for")

	leaving := open[0]
	leaving.client.hangsUp()
	leaving.upstream.wants("the client is gone", wire.Close(1001, "client connection lost"))
	leaving.upstream.hangsUp()
	r.eventually("a session has ended", func() bool { return r.server.Clients() == sessions-1+lazy })
	r.opens()
	refuses()
}

// The next client gets the permit of one whose connection is with somebody else by now.
func TestPermitOfAClientThatHasLeftItsLoop(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]func(*rig, *peer){
		"a page": func(r *rig, c *peer) { r.getsPage(c) },
		"a page under way": func(r *rig, c *peer) {
			c.sendsString(page)
			r.accepts().wantsRequest()
		},
		"a refusal passed on that lingers": func(r *rig, c *peer) {
			c.sendsString(wire.Request())
			upstream := r.accepts()
			upstream.wantsRequest()
			upstream.sendsString(wire.Head("HTTP/1.1 403 Forbidden", "Content-Length: 0"))
			c.wantsRefusal("the upstream's", http.StatusForbidden)
			upstream.wantsEnd("the answer is whole")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessions = 1 })
			first := r.dials()
			leaves(r, first)
			r.eventually("the permit is back", func() bool { return r.server.Permits() == 0 })
			if n := r.server.Clients(); n != 1 {
				t.Errorf("%d clients are counted, want the one that stays", n)
			}
			r.opens()
			second := r.dials()
			second.sendsString(wire.Request())
			second.wantsRefusal("there is one permit", http.StatusServiceUnavailable)
		})
	}
}

// A client that comes back from the server of pages takes a permit like any other.
func TestPermitOfAClientThatComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessions = 1 })
	one, other := r.dials(), r.dials()
	r.getsPage(one)
	r.getsPage(other)
	r.opensWith(one, nil, nil)
	other.sendsString(wire.Request())
	other.wantsRefusal("there is one permit", http.StatusServiceUnavailable)
}
