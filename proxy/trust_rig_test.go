package proxy_test

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

var loopback = netip.MustParsePrefix("127.0.0.1/32")

// dialsFrom connects a client from another address of this machine.
func (r *rig) dialsFrom(ip string) *peer {
	r.t.Helper()
	return r.dialsWith(net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}})
}

func trustLoopback(cfg *proxy.Config) { cfg.TrustedProxies = []netip.Prefix{loopback} }

// forwarding are the fields that tell an upstream who asks.
func forwarding(r *http.Request) map[string]string {
	told := map[string]string{}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Proxy"} {
		if values := r.Header.Values(name); values != nil {
			told[name] = strings.Join(values, " | ")
		}
	}
	return told
}

func TestClientIsToldToUpstream(t *testing.T) {
	t.Parallel()
	proto := "http"
	if *overTLS {
		proto = "https"
	}
	spoofed := []string{
		"X-Forwarded-For: 203.0.113.9, 198.51.100.7", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: app.example",
		"Forwarded: for=203.0.113.9;proto=gopher", "X_Forwarded_For: 192.0.2.66", "Connection: X-Forwarded-For",
		"X-Real-IP: 203.0.113.9", "Proxy: http://evil.example",
	}
	believed := []string{"X-Forwarded-For: 203.0.113.9, 198.51.100.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: app.example",
		"X-Real-IP: 203.0.113.9"}
	for _, c := range []struct {
		name   string
		from   string
		fields []string
		want   map[string]string
		client string // in the log
	}{
		{"nothing said", "127.0.0.2", nil, map[string]string{
			"X-Forwarded-For": "127.0.0.2", "X-Forwarded-Proto": proto, "X-Forwarded-Host": "service.example",
			"Forwarded": "for=127.0.0.2;host=service.example;proto=" + proto, "X-Real-IP": "127.0.0.2", "Proxy": "",
		}, "127.0.0.2:"},
		{"a stranger's word", "127.0.0.2", spoofed, map[string]string{
			"X-Forwarded-For": "127.0.0.2", "X-Forwarded-Proto": proto, "X-Forwarded-Host": "service.example",
			"Forwarded": "for=127.0.0.2;host=service.example;proto=" + proto, "X-Real-IP": "127.0.0.2", "Proxy": "",
		}, "127.0.0.2:"},
		{"a trusted proxy's word", "127.0.0.1", believed, map[string]string{
			"X-Forwarded-For":   "203.0.113.9, 198.51.100.7, 127.0.0.1",
			"X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example", "X-Real-IP": "198.51.100.7",
		}, `"198.51.100.7"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, trustLoopback)
			client := r.dialsFrom(c.from)
			client.sendsString(wire.Request(c.fields...))
			upstream := r.accepts()
			asked := upstream.wantsRequest()
			told := forwarding(asked)
			for name, want := range c.want {
				if told[name] != want {
					t.Errorf("the upstream is told %s: %q, want %q", name, told[name], want)
				}
			}
			if asked.Header.Get("X_Forwarded_For") != "" {
				t.Error("an alias of X-Forwarded-For got through")
			}
			upstream.sendsString(wire.Answer(asked))
			client.wantsSwitch()
			client.hangsUp()
			upstream.hangsUp()
			r.wantsNoSessions()
			if !strings.Contains(r.log.String(), c.client) {
				t.Errorf("the log does not call the client %s", c.client)
			}
		})
	}
}

const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	source := "\xcb\x00\x71\x07\x7f\x00\x00\x01\x12\x34\x00\x50" // 203.0.113.7:4660 to 127.0.0.1:80
	for _, c := range []struct {
		name, from, header string
		want               string // X-Forwarded-For; none: refused
	}{
		{"version 1", "127.0.0.1", "PROXY TCP4 203.0.113.7 127.0.0.1 4660 80\r\n", "203.0.113.7"},
		{"version 1 over IPv6", "127.0.0.1", "PROXY TCP6 2001:db8::7 ::1 4660 80\r\n", "2001:db8::7"},
		{"version 1 of nobody", "127.0.0.1", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"version 2", "127.0.0.1", proxyV2 + "\x21\x11\x00\x0c" + source, "203.0.113.7"},
		{"version 2 with a TLV", "127.0.0.1", proxyV2 + "\x21\x11\x00\x10" + source + "\x04\x00\x01x", "203.0.113.7"},
		{"version 2 of the proxy itself", "127.0.0.1", proxyV2 + "\x20\x00\x00\x00", "127.0.0.1"},
		{"none from a stranger", "127.0.0.2", "", "127.0.0.2"},
		{"none from a trusted proxy", "127.0.0.1", "", ""},
		{"a stranger's", "127.0.0.2", "PROXY TCP4 203.0.113.7 127.0.0.1 4660 80\r\n", ""},
		{"garbage", "127.0.0.1", "PROXY TCP4 203.0.113.7 127.0.0.1 4660 99999\r\n", ""},
		{"without an end", "127.0.0.1", "PROXY " + strings.Repeat("x", 200), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				trustLoopback(cfg)
				cfg.ProxyProtocol = true
			})
			client := r.dialsFrom(c.from)
			if _, err := client.tcp().Write([]byte(c.header)); err != nil {
				t.Fatal(err)
			}
			_, _ = client.conn.Write([]byte(wire.Request())) // it may have been cut before
			if c.want == "" {
				r.wantsCounts(counts{"bad_request": 1})
				r.wantsNoDial(c.name)
				return
			}
			upstream := r.accepts()
			asked := upstream.wantsRequest()
			if got := asked.Header.Get("X-Forwarded-For"); got != c.want {
				t.Errorf("X-Forwarded-For: %q, want %q", got, c.want)
			}
			upstream.sendsString(wire.Answer(asked))
			client.wantsSwitch()
		})
	}
}

// A header that names nobody does not make the client's own words the balancer's.
func TestProxyProtocolOfNobodyVouchesForNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) {
		trustLoopback(cfg)
		cfg.ProxyProtocol = true
	})
	client := r.dials()
	if _, err := client.tcp().Write([]byte("PROXY UNKNOWN\r\n")); err != nil {
		t.Fatal(err)
	}
	client.sendsString(wire.Request("X-Forwarded-For: 203.0.113.9"))
	upstream := r.accepts()
	asked := upstream.wantsRequest()
	if got := asked.Header.Get("X-Forwarded-For"); got != "127.0.0.1" {
		t.Errorf("X-Forwarded-For: %q, want the balancer's address alone", got)
	}
	upstream.sendsString(wire.Answer(asked))
	client.wantsSwitch()
}

// What comes in one segment with the header, or in a segment for each byte, is the same.
func TestProxyProtocolAtAnyChunking(t *testing.T) {
	t.Parallel()
	if *overTLS {
		t.Skip("what follows the header is not the test's to cut")
	}
	whole := "PROXY TCP4 203.0.113.7 127.0.0.1 4660 80\r\n" + wire.Request()
	for name, chunk := range map[string]int{"whole": len(whole), "by bytes": 1, "by sevens": 7} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				trustLoopback(cfg)
				cfg.ProxyProtocol = true
			})
			client := r.dials()
			for rest := whole; rest != ""; {
				n := min(chunk, len(rest))
				client.sendsString(rest[:n])
				rest = rest[n:]
			}
			upstream := r.accepts()
			asked := upstream.wantsRequest()
			if got := asked.Header.Get("X-Forwarded-For"); got != "203.0.113.7" {
				t.Errorf("X-Forwarded-For: %q", got)
			}
			upstream.sendsString(wire.Answer(asked))
			client.wantsSwitch()
		})
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	var allowed []proxy.OriginPattern
	for _, text := range []string{"https://app.example.com", "*.example.org"} {
		p, err := proxy.ParseOrigin(text)
		if err != nil {
			t.Fatal(err)
		}
		allowed = append(allowed, p)
	}
	for _, c := range []struct {
		fields string
		in     bool
	}{
		{"", true}, // no browser
		{"Origin: https://app.example.com", true},
		{"origin:https://www.example.org", true},
		{"Origin: http://app.example.com", false},
		{"Origin: https://app.example.com.evil.example", false},
		{"Origin: https://evilexample.org", false},
		{"Origin: https://example.org", false},
		{"Origin: null", false},
		{"Origin:", false},
		{"Origin: \t", false},
	} {
		t.Run(c.fields, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) { cfg.AllowedOrigins = allowed })
			var fields []string
			if c.fields != "" {
				fields = []string{c.fields}
			}
			if c.in {
				r.opens(fields...)
				return
			}
			client := r.dials()
			client.sendsString(wire.Request(fields...))
			client.wantsRefusal(c.fields, http.StatusForbidden)
			r.wantsCounts(counts{"origin_denied": 1})
			r.wantsNoDial(c.fields)
		})
	}
}

// Two origins cannot be judged, whatever they are, also on a
// connection that had pages before.
func TestDoubledOrigin(t *testing.T) {
	t.Parallel()
	allowed, err := proxy.ParseOrigin("https://app.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, second := range []string{"Origin: https://app.example.com", "Origin: https://evil.example", "origin:"} {
		for _, afterPage := range []bool{false, true} {
			r := newRig(t, func(cfg *proxy.Config) { cfg.AllowedOrigins = []proxy.OriginPattern{allowed} })
			client := r.dials()
			if afterPage {
				r.getsPage(client)
			}
			client.sendsString(wire.Request("Origin: https://app.example.com", second))
			client.wantsRefusal(second, http.StatusBadRequest)
			r.wantsCounts(counts{"bad_request": 1})
		}
	}
}

// An empty Origin is not overlooked on the way back from pages.
func TestEmptyOriginAfterPage(t *testing.T) {
	t.Parallel()
	allowed, err := proxy.ParseOrigin("https://app.example.com")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(cfg *proxy.Config) { cfg.AllowedOrigins = []proxy.OriginPattern{allowed} })
	client := r.dials()
	r.getsPage(client)
	client.sendsString(wire.Request("Origin:"))
	client.wantsRefusal("an empty origin", http.StatusForbidden)
	r.wantsCounts(counts{"origin_denied": 1})
}

func TestSessionsPerAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessionsPerIP = 1 })
	first, its := r.opens()

	second := r.dials()
	second.sendsString(wire.Request())
	refused, _ := second.wantsRefusal("over the limit", http.StatusTooManyRequests)
	if refused.Header.Get("Retry-After") == "" {
		t.Error("a client that is to try again is not told when")
	}
	r.opensWith(r.dialsFrom("127.0.0.2"), nil, nil) // who has another address is not meant

	first.hangsUp()
	its.wantsClose("the client is gone", 1001)
	its.hangsUp()
	r.eventually("the first session ends", func() bool { return r.counts()["dropped client eof"] == 1 })
	r.opens()
	r.wantsCounts(counts{"ok": 3, "limit_per_ip": 1, "opened": 3, "active": 2, "dropped client eof": 1})
}

// A proxy that is not trusted makes all its clients one. That is said once, and only where it
// matters.
func TestProxyThatIsNotTrustedIsNamed(t *testing.T) {
	t.Parallel()
	const line = `"msg":"X-Forwarded-For came from an address that is not trusted: `
	neither := func(cfg *proxy.Config) { trustLoopback(cfg); cfg.MaxSessionsPerIP = 0 }
	limited := func(cfg *proxy.Config) { trustLoopback(cfg); cfg.MaxSessionsPerIP = 5 }
	hashed := func(cfg *proxy.Config) { neither(cfg); cfg.Balance.By = proxy.HashIP }
	for _, c := range []struct {
		name      string
		configure func(*proxy.Config)
		several   bool
		from      string
		says      string
	}{
		{"a limit", limited, false, "127.0.0.2", "HOLDFAST_MAX_SESSIONS_PER_IP counts"},
		{"a hash", hashed, true, "127.0.0.2", "HOLDFAST_BALANCE=hash:ip takes"},
		{"a hash, and one upstream", hashed, false, "127.0.0.2", ""},
		{"a trusted proxy", limited, false, "127.0.0.1", ""},
		{"neither", neither, true, "127.0.0.2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				if c.several {
					behind(cfg, false, fixture.Unused(t))
				}
				c.configure(cfg)
				cfg.RefuseHTTP = true
			})
			for range 2 {
				client := r.dialsFrom(c.from)
				client.sendsString(wire.Head("GET / HTTP/1.1", "Host: service.example", "X-Forwarded-For: 203.0.113.9"))
				client.wantsStatus("a page", http.StatusUpgradeRequired)
				client.hangsUp()
			}
			r.wantsNoSessions()
			want := 0
			if c.says != "" {
				want = 1
			}
			if got := strings.Count(r.log.String(), line+c.says); got != want {
				t.Errorf("the log says so %d times, want %d:\n%s", got, want, r.log.String())
			}
		})
	}
}
