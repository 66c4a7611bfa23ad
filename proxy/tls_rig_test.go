package proxy_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

func TestTLSHandshakesThatFail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		sends  string
		then   func(*peer)
		result string
	}{
		{"plain HTTP", wire.Request(), func(p *peer) { p.wantsRefusal("it speaks no TLS", http.StatusBadRequest) }, "bad_request"},
		{"another record", "\x17\x03\x03\x00\x01\x00", nil, "bad_request"},
		{"a record that is too long", "\x16\x03\x01\xff\xff", nil, "bad_request"},
		{"half a record", "\x16\x03\x01\x02\x00\x01", nil, "timeout"},
		{"silence", "", nil, "timeout"},
		{"gone at once", "", (*peer).hangsUp, "client_gone"},
		{"gone within", "\x16\x03\x01\x02\x00\x01", (*peer).hangsUp, "client_gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				secureClient(cfg)
				if c.result == "timeout" {
					cfg.HandshakeTimeout = moment
				}
			})
			r.tls.client = false // the test does it by hand
			client := r.dials()
			client.sendsString(c.sends)
			if c.then != nil {
				c.then(client)
			}
			r.wantsCounts(counts{c.result: 1})
			r.wantsNoDial(c.name)
		})
	}
}

func TestUpstreamTLSThatFails(t *testing.T) {
	t.Parallel()
	distrustful := func() *tls.Config { return &tls.Config{ServerName: "127.0.0.1"} }
	for _, c := range []struct {
		name   string
		config func() *tls.Config
		does   func(*testing.T, net.Conn)
		status int
		result string
	}{
		{"a certificate that nobody vouches for", distrustful, shakesHands, http.StatusBadGateway, "upstream_unreachable"},
		{"another name", func() *tls.Config { c := clientTLS(); c.ServerName = "other.example"; return c }, shakesHands, http.StatusBadGateway, "upstream_unreachable"},
		{"no TLS", clientTLS, func(_ *testing.T, c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, http.StatusBadGateway, "upstream_unreachable"},
		{"the end", clientTLS, func(_ *testing.T, c net.Conn) { c.Close() }, http.StatusBadGateway, "upstream_unreachable"},
		{"silence", clientTLS, func(*testing.T, net.Conn) {}, http.StatusGatewayTimeout, "timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				secureUpstream(cfg)
				cfg.Upstreams[0].TLS = c.config
				cfg.DialTimeout = patience
				if c.result == "timeout" {
					cfg.DialTimeout = moment
				}
			})
			r.tls.upstream = false // the test does it by hand
			client := r.dials()
			client.sendsString(wire.Request())
			c.does(t, r.accepts().conn)
			client.wantsRefusal(c.name, c.status)
			r.wantsCounts(counts{c.result: 1})
			if c.result == "timeout" { // and what was missing: TCP works
				r.eventually("the log says so", func() bool { return strings.Contains(r.log.String(), "connected, but no TLS in time") })
			}
		})
	}
}

func shakesHands(_ *testing.T, conn net.Conn) {
	_ = tls.Server(conn, serverTLS()).Handshake() // it is the other side that objects
}

// A target whose TLS fails is one that failed: the next is tried.
func TestNextTargetAfterTLSFailed(t *testing.T) {
	t.Parallel()
	brokenIP, soundIP := netip.MustParseAddr("127.0.0.201"), netip.MustParseAddr("127.0.0.1") // no test dials from the first
	r := newRig(t, func(cfg *proxy.Config) {
		secureUpstream(cfg)
		cfg.Upstreams[0].URL.Host = "service.example:" + cfg.Upstreams[0].URL.Port()
		cfg.Balance.By = proxy.RoundRobin // by the order of the addresses
		cfg.FindBy(func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{brokenIP, soundIP}, nil })
	})
	port := r.service.Addr().(*net.TCPAddr).AddrPort().Port()
	broken, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(brokenIP, port)))
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	r.opens()
	client := r.dials()
	client.sendsString(wire.Request())
	conn, err := broken.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	upstream := r.accepts()
	upstream.sendsString(wire.Answer(upstream.wantsRequest()))
	client.wantsSwitch()
}

// TLS with one leg only, in either combination.
func TestTLSOnOneLeg(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*proxy.Config){"client": secureClient, "upstream": secureUpstream} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, change)
			client, upstream := r.opens()
			client.sends(wire.Text("to the upstream"))
			upstream.wants(name, wire.Text("to the upstream"))
			upstream.sends(wire.Text("to the client"))
			client.wants(name, wire.Text("to the client"))
			upstream.sends(wire.Close(4000, "done"))
			client.wants(name, wire.Close(4000, "done"))
			client.sends(wire.Close(4000, "done"))
			upstream.wants(name, wire.Close(4000, "done"))
			client.wantsEnd("close_notify, after all that was said")
			client.hangsUp()
			upstream.hangsUp()
			r.wantsCounts(counts{"ok": 1, "opened": 1, "closed upstream": 1})
		})
	}
}
