package backend

import (
	"crypto/tls"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"holdfast/proxy/internal/socket"
)

func TestWhereABackendIs(t *testing.T) {
	hasTLS := func(cfg *Config) { cfg.TLS = func() *tls.Config { return &tls.Config{ServerName: "asked"} } }
	for address, want := range map[string]struct {
		name, authority, prefix string
		tls                     bool
		known                   string // the address, if it need not be looked up
	}{
		"ws://service.example":         {name: "ws://service.example:80", authority: "service.example:80"},
		"http://service.example:81/a/": {name: "http://service.example:81", authority: "service.example:81", prefix: "/a/"},
		"wss://192.0.2.1/a%2Fb":        {name: "wss://192.0.2.1:443", authority: "192.0.2.1:443", prefix: "/a%2Fb", tls: true, known: "192.0.2.1:443"},
		"https://[2001:db8::1]":        {name: "https://[2001:db8::1]:443", authority: "[2001:db8::1]:443", tls: true, known: "[2001:db8::1]:443"},
		"ws://[::ffff:192.0.2.1]:1":    {name: "ws://[::ffff:192.0.2.1]:1", authority: "[::ffff:192.0.2.1]:1", known: "192.0.2.1:1"},
	} {
		b := newBackend(t, address, hasTLS)
		if b.Name() != want.name || b.Authority() != want.authority || b.Prefix() != want.prefix || b.WantsTLS() != want.tls {
			t.Errorf("%s: name %q, authority %q, prefix %q, TLS %v; want %v", address, b.Name(), b.Authority(), b.Prefix(), b.WantsTLS(), want)
		}
		if want.tls && b.TLS().ServerName != "asked" {
			t.Errorf("%s: the configuration is not the one that is given", address)
		}
		addrs, known := b.Known(b.cfg.Clock())
		if known != (want.known != "") || known && !slices.Equal(addrs, []socket.Endpoint{{AddrPort: netip.MustParseAddrPort(want.known)}}) {
			t.Errorf("%s: %v is known, want %q", address, addrs, want.known)
		}
	}
}

func TestBackendOnAUnixSocket(t *testing.T) {
	b := newBackend(t, "unix:///run/service.sock")
	if b.Name() != "unix:/run/service.sock" || b.Authority() != "localhost" || b.WantsTLS() {
		t.Errorf("name %q, authority %q, TLS %v", b.Name(), b.Authority(), b.WantsTLS())
	}
	if addrs, known := b.Known(b.cfg.Clock()); !known || !slices.Equal(addrs, []socket.Endpoint{{Path: "/run/service.sock"}}) {
		t.Errorf("%v is known: %v", addrs, known)
	}
}

func TestBackendThatCannotBe(t *testing.T) {
	for address, want := range map[string]string{
		"ws://service.example:70000":                     `port "70000" is not a number from 1 to 65535`,
		"wss://user:secret@service.example":              "UpstreamTLS is not set",
		"unix:///" + strings.Repeat("a", socket.MaxPath): "the path of a unix socket may have at most 107 bytes",
	} {
		at, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(t.Context(), Config{URL: at})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want one with %q", address, err, want)
		}
	}
}
