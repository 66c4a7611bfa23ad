package backend

import (
	"context"
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"

	"holdfast/proxy/internal/socket"
)

func TestWhereATargetIs(t *testing.T) {
	var later []func()
	for address, want := range map[string]struct {
		name, authority, prefix string
		tls                     bool
		address                 string
		lookup                  bool // it has a name
	}{
		"ws://service.example":         {name: "ws://service.example:80", authority: "service.example:80", address: "192.0.2.9:80", lookup: true},
		"http://service.example:81/a/": {name: "http://service.example:81", authority: "service.example:81", prefix: "/a/", address: "192.0.2.9:81", lookup: true},
		"wss://192.0.2.1/a%2Fb":        {name: "wss://192.0.2.1:443", authority: "192.0.2.1:443", prefix: "/a%2Fb", tls: true, address: "192.0.2.1:443"},
		"https://[2001:db8::1]":        {name: "https://[2001:db8::1]:443", authority: "[2001:db8::1]:443", tls: true, address: "[2001:db8::1]:443"},
		"ws://[::ffff:192.0.2.1]:1":    {name: "ws://[::ffff:192.0.2.1]:1", authority: "[::ffff:192.0.2.1]:1", address: "192.0.2.1:1"},
	} {
		cfg := configOf(t, address)
		cfg.Upstreams[0].Host = "host.example"
		cfg.Upstreams[0].TLS = func() *tls.Config { return &tls.Config{ServerName: "asked"} }
		cfg.Find = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.9")}, nil
		}
		cfg.Beside = func(job func()) { later = append(later, job) }
		p := newPool(t, cfg)
		route := p.Route(request(), aClient)
		known := route.Next(cfg.Clock()) == Try
		if !known {
			later[len(later)-1]()
			if step := route.Next(cfg.Clock()); step != Try {
				t.Fatalf("%s: the step after the lookup is %d", address, step)
			}
		}
		to := route.To
		if to.Name() != want.name || to.Authority() != want.authority || to.Prefix() != want.prefix || p.Prefix() != want.prefix || to.WantsTLS() != want.tls {
			t.Errorf("%s: name %q, authority %q, prefix %q, TLS %v; want %v", address, to.Name(), to.Authority(), to.Prefix(), to.WantsTLS(), want)
		}
		if want.tls && to.TLS().ServerName != "asked" {
			t.Errorf("%s: the configuration is not the one that is given", address)
		}
		if to.Host() != "host.example" {
			t.Errorf("%s: requests have the Host %q", address, to.Host())
		}
		if to.Address() != want.address || to.Endpoint() != (socket.Endpoint{AddrPort: netip.MustParseAddrPort(want.address)}) || known == want.lookup {
			t.Errorf("%s: its address is %s (known at once: %v), want %s", address, to.Address(), known, want.address)
		}
	}
}

func TestTargetOnAUnixSocket(t *testing.T) {
	p := newPool(t, configOf(t, "unix:///run/service.sock"))
	route := p.Route(request(), aClient)
	if step := route.Next(p.cfg.Clock()); step != Try {
		t.Fatalf("the first step is %d", step)
	}
	to := route.To
	if to.Name() != "unix:/run/service.sock" || to.Address() != "/run/service.sock" || to.Authority() != "localhost" || to.WantsTLS() {
		t.Errorf("name %q, address %q, authority %q, TLS %v", to.Name(), to.Address(), to.Authority(), to.WantsTLS())
	}
	if to.Endpoint() != (socket.Endpoint{Path: "/run/service.sock"}) {
		t.Errorf("it is connected to at %v", to.Endpoint())
	}
}

func TestBackendThatCannotBe(t *testing.T) {
	for address, want := range map[string]string{
		"ws://service.example:70000":                     `port "70000" is not a number from 1 to 65535`,
		"wss://user:secret@service.example":              "its TLS is not set",
		"unix:///" + strings.Repeat("a", socket.MaxPath): "the path of a unix socket may have at most 107 bytes",
	} {
		_, err := NewPool(t.Context(), configOf(t, "ws://"+theOne, address))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want one with %q", address, err, want)
		}
	}
}

func TestNamesOfAPool(t *testing.T) {
	p := newPool(t, configOf(t, "ws://one.example", "http://two.example:8443/ws"))
	if got, want := strings.Join(p.Names(), ","), "ws://one.example:80,http://two.example:8443"; got != want {
		t.Errorf("its names are %q, want %q", got, want)
	}
}

// What is learnt about a service is told once.
func TestWhatIsLearntIsToldOnce(t *testing.T) {
	upstreams, addresses := literals(2)
	r := newRig(t, upstreams)
	for range 3 {
		r.target(addresses[0]).NoteAnswer()
		r.target(addresses[1]).NoteUnasked()
	}
	r.wantsLines("it answers pings", 1, "upstream answers pings", addresses[0])
	r.wantsLines("it answers with a subprotocol", 1, "subprotocol", addresses[1])
	if !r.target(addresses[0]).AnswersPings() || r.target(addresses[1]).AnswersPings() {
		t.Error("one target has answered a ping, and the other has not")
	}
}
