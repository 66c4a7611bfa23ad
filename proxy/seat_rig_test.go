package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// refusedSeats is how many of an address may be on their way to being refused.
const refusedSeats = 8

// An occupation is one way to hold a client's descriptor.
type occupation struct {
	name  string
	named bool                                                         // it has said whom it is from, where a header field says so
	takes func(r *rig, client *peer, fields []string) (upstream *peer) // nil if it has none that stays
}

var occupations = []occupation{
	{"silence", false, func(*rig, *peer, []string) *peer { return nil }},
	{"half a head", false, func(_ *rig, c *peer, _ []string) *peer {
		c.sendsString("GET /chat HT")
		return nil
	}},
	{"half a TLS handshake", false, func(_ *rig, c *peer, _ []string) *peer {
		_, _ = c.tcp().Write([]byte("\x16\x03\x01\x02\x00\x01"))
		return nil
	}},
	{"a handshake", true, func(r *rig, c *peer, fields []string) *peer {
		c.sendsString(wire.Request(fields...))
		upstream := r.accepts()
		upstream.wantsRequest()
		return upstream
	}},
	{"a session", true, func(r *rig, c *peer, fields []string) *peer {
		_, upstream := r.opensWith(c, fields, nil)
		return upstream
	}},
	{"a refusal that lingers", false, func(_ *rig, c *peer, _ []string) *peer {
		c.sendsString("nonsense\r\n\r\n")
		c.wantsRefusal("no request", http.StatusBadRequest)
		return nil
	}},
	{"a refusal passed on that lingers", true, func(r *rig, c *peer, fields []string) *peer {
		c.sendsString(wire.Request(fields...))
		upstream := r.accepts()
		upstream.wantsRequest()
		upstream.sendsString(wire.Head("HTTP/1.1 403 Forbidden", "Content-Length: 0"))
		c.wantsRefusal("the upstream's", http.StatusForbidden)
		return nil
	}},
	{"a page under way", false, func(r *rig, c *peer, fields []string) *peer {
		c.sendsString(pageFor(fields...))
		upstream := r.accepts()
		upstream.wantsRequest()
		return upstream
	}},
	{"a page whose next head is under way", false, func(r *rig, c *peer, fields []string) *peer {
		r.getsPage(c, fields...)
		r.wantsIdle(1)
		c.sendsString("GET /page")
		r.wantsIdle(0)
		return nil
	}},
}

// A way is how a client comes, and how its address is known.
type way struct {
	name   string
	change func(*proxy.Config)
	dials  func(r *rig, who int) *peer
	fields func(who int) []string // of its requests
}

var ways = []way{
	{"directly", func(*proxy.Config) {},
		func(r *rig, who int) *peer { return r.dialsFrom(fmt.Sprintf("127.0.0.%d", 10+who)) },
		func(int) []string { return nil }},
	{"by PROXY protocol", func(cfg *proxy.Config) { trustLoopback(cfg); cfg.ProxyProtocol = true },
		func(r *rig, who int) *peer { return r.dialsNamed(who) },
		func(int) []string { return nil }},
	{"by X-Forwarded-For", trustLoopback,
		func(r *rig, _ int) *peer { return r.dials() },
		func(who int) []string { return []string{fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", who)} }},
}

// dialsNamed connects a client whom a PROXY protocol header names.
func (r *rig) dialsNamed(who int) *peer {
	r.t.Helper()
	client := r.dials()
	if _, err := fmt.Fprintf(client.tcp(), "PROXY TCP4 203.0.113.%d 127.0.0.1 4660 80\r\n", who); err != nil {
		r.t.Fatal(err)
	}
	return client
}

// Whatever a client does, it counts for its address as long as its descriptor is held.
func TestWhatCountsForAnAddress(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		for _, o := range occupations {
			if w.name == "by X-Forwarded-For" && !o.named {
				continue
			}
			t.Run(w.name+"/"+o.name, func(t *testing.T) {
				t.Parallel()
				testCounts(t, w, o, w.change)
			})
			t.Run(w.name+"/"+o.name+" over TLS", func(t *testing.T) {
				t.Parallel()
				testCounts(t, w, o, func(cfg *proxy.Config) { w.change(cfg); secureClient(cfg) })
			})
		}
	}
}

func testCounts(t *testing.T, w way, o occupation, change func(*proxy.Config)) {
	r := newRig(t, func(cfg *proxy.Config) {
		change(cfg)
		cfg.MaxSessionsPerIP = 1
	})
	if o.name == "half a TLS handshake" && !r.tls.client {
		return // there is none
	}
	const one, other = 1, 2
	first := w.dials(r, one)
	its := o.takes(r, first, w.fields(one))
	r.eventually("it counts", func() bool { return r.server.Addresses() == 1 })

	second := w.dials(r, one)
	second.sendsString(wire.Request(w.fields(one)...))
	second.wantsRefusal("the address has one already", http.StatusTooManyRequests)
	r.opensWith(w.dials(r, other), w.fields(other), nil)
	if n := r.metric("handshakes_total{limit_per_ip}"); n != 1 {
		t.Errorf("%d handshakes are counted as beyond the address's limit, want 1", n)
	}

	first.tcp().Close()
	if its != nil {
		its.hangsUp()
	}
	second.hangsUp()
	r.eventually("nothing is left but the other's", func() bool { return r.server.Clients() == 1 && r.server.Addresses() == 1 })
	r.opensWith(w.dials(r, one), w.fields(one), nil)
}

// One address opens as much of each kind as it can, and another still gets its session.
func TestOneAddressCannotTakeAll(t *testing.T) {
	t.Parallel()
	const room, limit, tries = 20, 5, 40
	for name, takes := range map[string]func(*rig, *peer){
		"silence":   func(*rig, *peer) {},
		"half head": func(_ *rig, c *peer) { _, _ = c.conn.Write([]byte("GET /chat HT")) },
		"handshake": func(_ *rig, c *peer) { _, _ = c.conn.Write([]byte(wire.Request())) },
		"refusal":   func(_ *rig, c *peer) { _, _ = c.conn.Write([]byte("nonsense\r\n\r\n")) },
		"page":      func(_ *rig, c *peer) { _, _ = c.conn.Write([]byte(page)) },
		"idle page": func(r *rig, c *peer) {
			r.getsPage(c)
			r.eventually("it idles", func() bool { return r.server.IdlePages() > 0 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigWith(t, func(cfg *proxy.Config) { cfg.MaxSessionsPerIP = limit },
				func(s *proxy.Server) { s.AllowClients(room) })
			for range tries {
				takes(r, r.dialsFrom("127.0.0.2"))
				if n := r.server.Clients(); n > limit+refusedSeats {
					t.Errorf("the address holds %d places, want at most %d", n, limit+refusedSeats)
				}
			}
			other := r.dialsFrom("127.0.0.3")
			other.sendsString(wire.Request("X-Who: the other"))
			for {
				upstream := r.accepts()
				if asked := upstream.wantsRequest(); asked.Header.Get("X-Who") != "" {
					upstream.sendsString(wire.Answer(asked))
					break
				}
			}
			other.wantsSwitch()
			r.hangUp()
		})
	}
}

// Clients beyond the limit are told so, a few at a time. The next are closed at once.
func TestRefusalsOfAnAddressAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessionsPerIP = 1 })
	r.opens()
	var beyond []*peer
	for range refusedSeats {
		beyond = append(beyond, r.dials())
	}
	tooMany := r.dials()
	if _, err := io.ReadAll(tooMany.tcp()); err != nil {
		t.Errorf("one too many gets %v, want its end", err)
	}
	r.wantsCounts(counts{"ok": 1, "opened": 1, "active": 1, "limit_per_ip": 1})
	r.opensWith(r.dialsFrom("127.0.0.2"), nil, nil)

	beyond[0].sendsString(wire.Request())
	refused, _ := beyond[0].wantsRefusal("it is told", http.StatusTooManyRequests)
	if refused.Header.Get("Retry-After") == "" {
		t.Error("a client that is to try again is not told when")
	}
	beyond[1].sendsString(page)
	beyond[1].wantsRefusal("so is one that asks for a page", http.StatusTooManyRequests)
	r.wantsCounts(counts{"ok": 2, "opened": 2, "active": 2, "limit_per_ip": 3})
}

// Behind a trusted proxy the head is there before the address is known. So each is
// told; those who are too many are not waited for afterwards.
func TestRefusalsBehindATrustedProxyAreBounded(t *testing.T) {
	t.Parallel()
	const who = "X-Forwarded-For: 203.0.113.7"
	r := newRig(t, func(cfg *proxy.Config) { trustLoopback(cfg); cfg.MaxSessionsPerIP = 1 })
	r.opens(who)
	for range refusedSeats + 3 {
		client := r.dials()
		client.sendsString(wire.Request(who))
		client.wantsRefusal("over the limit", http.StatusTooManyRequests)
	}
	r.eventually("no more are waited for", func() bool { return r.server.Clients() == 1+refusedSeats })
	r.opens("X-Forwarded-For: 203.0.113.8")
}

// A client that has left may come back at once, however long its session waits for
// the upstream's end.
func TestSeatIsFreeWhenTheClientHasLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessionsPerIP = 1 })
	client, upstream := r.opens()
	client.hangsUp()
	upstream.wants("the client is gone", wire.Close(1001, "client connection lost"))
	again, _ := r.opens() // the first session still waits for the upstream's answer
	again.hangsUp()
	upstream.sends(wire.Close(1001, ""))
	upstream.hangsUp()
}

// Every way to hold a descriptor is a client, and a session is only one of them.
func TestSessionsAmongClients(t *testing.T) {
	t.Parallel()
	for _, occupation := range occupations {
		if occupation.name == "half a TLS handshake" {
			continue // it needs a Server with TLS
		}
		t.Run(occupation.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			occupation.takes(r, r.dials(), nil)
			sessions := 0
			if occupation.name == "a session" {
				sessions = 1
			}
			r.eventually("the client is there", func() bool { return r.server.Clients() == 1 && r.server.Sessions() == sessions })
		})
	}
}

// The limit decides when a client asks, and not when it came.
func TestClientBeyondTheLimitMovesUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessionsPerIP = 1 })
	first, its := r.opens()
	second := r.dials()
	r.eventually("it is there", func() bool { return r.server.Clients() == 2 })
	first.hangsUp()
	its.hangsUp()
	r.eventually("the first is gone", func() bool { return r.server.Clients() == 1 })
	r.opensWith(second, nil, nil)
}

// A browser keeps page connections for a while. They cost it no session.
func TestOwnIdlePageGivesWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessionsPerIP = 2 })
	older, newer := r.dials(), r.dials()
	r.getsPage(older)
	r.wantsIdle(1)
	r.getsPage(newer)
	r.wantsIdle(2)
	r.opens()
	older.wantsEnd("it was idle longest")
	r.getsPage(newer)
	r.wantsIdle(1)
	r.opens()
	newer.wantsEnd("now it was")
	r.wantsCounts(counts{"ok": 2, "opened": 2, "active": 2})
}

// A page connection of a trusted proxy carries many clients' requests: it counts
// for nobody, and a session that comes of it for its client.
func TestPagesBehindATrustedProxyCountForNobody(t *testing.T) {
	t.Parallel()
	const who = "X-Forwarded-For: 203.0.113.7"
	r := newRig(t, func(cfg *proxy.Config) { trustLoopback(cfg); cfg.MaxSessionsPerIP = 1 })
	var pages []*peer
	for range 3 {
		client := r.dials()
		r.getsPage(client, who)
		pages = append(pages, client)
	}
	if n := r.server.Addresses(); n != 0 {
		t.Errorf("%d addresses are counted, want none", n)
	}
	r.opensWith(pages[0], []string{who}, nil)
	pages[1].sendsString(wire.Request(who))
	pages[1].wantsRefusal("the client has its session", http.StatusTooManyRequests)
	r.getsPage(pages[2], who)
}

// A connection keeps its seat from page to session.
func TestSeatGoesFromPageToSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessionsPerIP = 1 })
	client := r.dials()
	r.getsPage(client)
	r.opensWith(client, nil, nil)
	second := r.dials()
	second.sendsString(wire.Request())
	second.wantsRefusal("there is one seat", http.StatusTooManyRequests)
}

// When the descriptors are used up, the page that has idled longest makes room,
// and no new client is refused; a page under way stays.
func TestIdlePagesGiveWay(t *testing.T) {
	t.Parallel()
	const room = 6
	r := newRigWith(t, nil, func(s *proxy.Server) { s.AllowClients(room) })
	busy := r.dials()
	busy.sendsString(page)
	answers := r.accepts()
	answers.wantsRequest()
	older, newer := r.dials(), r.dials()
	r.getsPage(older)
	r.wantsIdle(1)
	r.getsPage(newer)
	r.wantsIdle(2)
	for range room - 3 {
		r.opens()
	}
	if n := r.server.Clients(); n != room {
		t.Fatalf("%d clients, want all %d places taken", n, room)
	}
	r.opens()
	older.wantsEnd("it was idle longest")
	r.opens()
	newer.wantsEnd("then it was")

	refused := r.dials()
	refused.sendsString(wire.Request())
	refused.wantsRefusal("nothing idles", http.StatusServiceUnavailable)
	answers.sendsString(wire.Head("HTTP/1.1 200 OK", "Content-Length: 0"))
	answers.conn.Close()
	if page, err := http.ReadResponse(busy.in, nil); err != nil || page.StatusCode != http.StatusOK {
		t.Errorf("the page under way ends with %v, %v", page, err)
	}
}

// Pages may take half of the room, however long they take; sessions find the rest.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	const room = 6
	r := newRigWith(t, nil, func(s *proxy.Server) { s.AllowClients(room) })
	idle := r.dials()
	r.getsPage(idle)
	r.wantsIdle(1)
	asks := func() *peer {
		client := r.dials()
		client.sendsString(page)
		return client
	}
	for range room / 2 {
		asks()
		r.accepts().wantsRequest()
	}
	idle.wantsEnd("it is one too many, and waits for nothing")
	r.eventually("it is gone", func() bool { return r.server.Pages() == room/2 })
	refused := asks()
	refused.wantsRefusal("all have their page under way", http.StatusServiceUnavailable)
	refused.hangsUp()
	for range room - room/2 {
		r.eventually("there is room", func() bool { return r.server.Clients() < room })
		r.opens()
	}
}

// A stop gives back the seat of whatever is under way.
func TestStopGivesEverySeatBack(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				w.change(cfg)
			})
			for who, o := range occupations {
				if o.name == "half a TLS handshake" && !r.tls.client {
					continue
				}
				o.takes(r, w.dials(r, who), w.fields(who))
			}
			page := w.dials(r, len(occupations))
			r.getsPage(page, w.fields(len(occupations))...)
			r.wantsIdle(1)
			r.ends.Timeout = moment
			r.shutdown(patience)
		})
	}
}
