package config

import (
	"net/netip"
	"testing"
)

// The kernel lets no two listeners have the same address, and a wildcard has all.
func TestListenersThatCollide(t *testing.T) {
	for _, tc := range []struct {
		listen, admin string
		want          bool
	}{
		{":8081", "127.0.0.1:8081", true},
		{"0.0.0.0:8081", "[::1]:8081", true}, // package net listens on both families
		{"[::]:8081", "127.0.0.1:8081", true},
		{"127.0.0.1:8081", ":8081", true},
		{"127.0.0.1:8081", "localhost:08081", true},
		{"[::ffff:127.0.0.1]:8081", "127.0.0.1:8081", true},
		{"edge.example:8081", "Edge.example:8081", true},
		{"10.0.0.1:8081", "127.0.0.1:8081", false},
		{"edge.example:8081", "127.0.0.1:8081", false}, // nobody knows
		{":8080", ":8081", false},
		{":0", ":0", false},
		{"unix:/run/holdfast.sock", ":8081", false},
		{"systemd:web", ":8081", false},
		{":8081", "off", false},
	} {
		_, err := load(someUpstream, "HOLDFAST_LISTEN="+tc.listen, "HOLDFAST_ADMIN_LISTEN="+tc.admin)
		if (err != nil) != tc.want {
			t.Errorf("%s beside %s: refused with %v, want %v", tc.listen, tc.admin, err, tc.want)
		}
	}
}

// A proxy whose upstream it is itself would nest requests until nothing is left.
func TestUpstreamThatIsTheProxy(t *testing.T) {
	const by = "leads back to this proxy, which listens on "
	for _, tc := range []struct{ upstream, listen, admin, by string }{
		{"ws://localhost:8070", ":8070", "off", "HOLDFAST_LISTEN=:8070"},
		{"http://LOCALHOST.:8070/a", "127.0.0.1:8070", "off", "HOLDFAST_LISTEN=127.0.0.1:8070"},
		{"ws://localhost", ":80", "off", "HOLDFAST_LISTEN=:80"},
		{"wss://127.0.0.2", "0.0.0.0:443", "off", "HOLDFAST_LISTEN=0.0.0.0:443"},
		{"ws://[::1]:8070", "[::]:8070", "off", "HOLDFAST_LISTEN=[::]:8070"},
		{"ws://0.0.0.0:8070", "127.0.0.1:8070", "off", "HOLDFAST_LISTEN=127.0.0.1:8070"},
		{"ws://192.0.2.1:8070", "192.0.2.1:8070", "off", "HOLDFAST_LISTEN=192.0.2.1:8070"},
		{"ws://edge.example:8070", "edge.example:8070", "off", "HOLDFAST_LISTEN=edge.example:8070"},
		{"unix:///run/a.sock", "unix:/run/a.sock", "off", "HOLDFAST_LISTEN=unix:/run/a.sock"},
		{"ws://localhost:8081", ":8080", "127.0.0.1:8081", "HOLDFAST_ADMIN_LISTEN=127.0.0.1:8081"},
		{"ws://localhost:8071", ":8070", "off", ""},
		{"ws://127.0.0.2:8070", "127.0.0.1:8070", "off", ""},
		{"ws://192.0.2.1:8070", ":8070", "off", ""}, // another machine's
		{"ws://service.example:8070", ":8070", "off", ""},
		{"unix:/run/a.sock", "unix:/run/b.sock", "off", ""},
		{"ws://localhost:8070", "systemd:web", "off", ""},
	} {
		_, err := load("HOLDFAST_UPSTREAM="+tc.upstream, "HOLDFAST_LISTEN="+tc.listen, "HOLDFAST_ADMIN_LISTEN="+tc.admin)
		want := ""
		if tc.by != "" {
			want = `HOLDFAST_UPSTREAM="` + tc.upstream + `" ` + by + tc.by + "; name the service behind the proxy, or change that address"
		}
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s behind %s: got  %s\nwant %s", tc.upstream, tc.listen, got, want)
		}
	}
}

// An address of this machine is reached by a listener on all of them.
func TestOwnAddressIsTheProxy(t *testing.T) {
	everywhere, upstream := place{"", 8070}, place{"192.0.2.1", 8070}
	if !upstream.reaches(everywhere, []netip.Addr{netip.MustParseAddr("192.0.2.1")}) {
		t.Error("an own address is taken for another machine's")
	}
	if upstream.reaches(everywhere, []netip.Addr{netip.MustParseAddr("192.0.2.2")}) {
		t.Error("another machine's address is taken for an own one")
	}
	if own := ownAddresses(); len(own) == 0 || !own[0].IsValid() {
		t.Errorf("this machine's addresses are %v", own)
	}
}
