package hostport

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// hosts has a row for each way in which the readers of a host and port differ.
var hosts = []struct {
	text               string
	split, uri, dialed bool // Split, IsURIHost, and whether the upstream may be called so
}{
	{"a.example", true, true, true},
	{"a.example:8080", true, true, true},
	{"a.example.:8080", true, true, true},
	{"A_b-c.example", true, true, true},
	{"192.0.2.1:80", true, true, true},
	{"[2001:db8::1]", true, true, true},
	{"[2001:db8::1]:443", true, true, true},
	{"[::ffff:192.0.2.1]", true, true, true},
	{"a.1", true, true, true}, // as container networks number their tasks

	// A port that is passed on is not dialled.
	{"a.example:", true, true, false},
	{"a.example:0", true, true, false},
	{"a.example:65536", true, true, false},

	// A name that is passed on is not looked up.
	{"a%20b", true, true, false},
	{"a~b", true, true, false},
	{"192.0.2.256", true, true, false},
	{"1.2", true, true, false},
	{"..", true, true, false},
	{"a..b", true, true, false},
	{".a", true, true, false},

	{"[fe80::1%eth0]:80", true, true, true},
	{"[fe80::1%25eth0.100]", true, true, true},

	// A zone could hide a host's end from another reader.
	{"[fe80::1%a b]:80", true, false, false},
	{"[fe80::1%a/b]:80", true, false, false},
	{`[fe80::1%a"b]`, true, false, false},
	{"[fe80::1%\xff]", true, false, false},

	{"[::%[]:", false, false, false},

	// Neither is a host.
	{"", true, false, false},
	{":80", true, false, false},
	{"a:b", true, false, false},
	{"a:+80", true, false, false},
	{"a b", true, false, false},
	{"a,b", true, false, false},
	{"a@b", true, false, false},
	{"a/b", true, false, false},
	{"a?b", true, false, false},
	{"a#b", true, false, false},
	{`a\b`, true, false, false},
	{"a%2", true, false, false},
	{"\xff", true, false, false},

	// Two readers could differ on where the host ends.
	{"a:80:80", false, false, false},
	{"2001:db8::1", false, false, false},
	{"2001:db8::1]", false, false, false},
	{"a[::1]", false, false, false},
	{"a[b", false, false, false},
	{"b]", false, false, false},
	{"a:[", false, false, false},
	{"[]", false, false, false},
	{"[2001:db8::1", false, false, false},
	{"[v1.a]", false, false, false},
	{"[:::]", false, false, false},
	{"[192.0.2.1]", false, false, false},
	{"[a.example]:80", false, false, false},
	{"[::1]a", false, false, false},
	{"[::1]80", false, false, false},
	{"[::1]:80:80", false, false, false},
	{"[::1]]", false, false, false},
}

func TestHosts(t *testing.T) {
	for _, tt := range hosts {
		p, ok := Split(tt.text)
		if ok != tt.split {
			t.Errorf("Split(%q) = %+v, %t, want %t", tt.text, p, ok, tt.split)
		}
		if got := IsURIHost(tt.text); got != tt.uri {
			t.Errorf("IsURIHost(%q) = %t, want %t", tt.text, got, tt.uri)
		}
		dialed := ok && IsAddressOrName(p.Host) && (!p.HasPort || IsPort(p.Port))
		if dialed != tt.dialed {
			t.Errorf("%q can be dialled: %t, want %t", tt.text, dialed, tt.dialed)
		}
	}
}

func TestParts(t *testing.T) {
	local := netip.MustParseAddr("fe80::1%eth0")
	for text, want := range map[string]Parts{
		"":                  {},
		"a":                 {Host: "a"},
		"a:":                {Host: "a", HasPort: true},
		"a:80":              {Host: "a", Port: "80", HasPort: true},
		":80":               {Port: "80", HasPort: true},
		"[::]":              {Host: "::", IPv6: netip.IPv6Unspecified()},
		"[::]:":             {Host: "::", IPv6: netip.IPv6Unspecified(), HasPort: true},
		"[fe80::1%eth0]:80": {Host: "fe80::1%eth0", IPv6: local, Port: "80", HasPort: true},
	} {
		if got, ok := Split(text); got != want || !ok {
			t.Errorf("Split(%q) = %+v, %t, want %+v", text, got, ok, want)
		}
	}
}

func TestPorts(t *testing.T) {
	for text, want := range map[string]struct {
		port    uint16
		ok, can bool // ParsePort, IsPort
	}{
		"0": {0, true, false}, "1": {1, true, true}, "65535": {65535, true, true}, "080": {80, true, true},
		"": {}, "65536": {}, "-1": {}, "+1": {}, " 1": {}, "1a": {}, "http": {}, "1_0": {},
	} {
		if port, ok := ParsePort(text); ok != want.ok || ok && port != want.port {
			t.Errorf("ParsePort(%q) = %d, %t", text, port, ok)
		}
		if got := IsPort(text); got != want.can {
			t.Errorf("IsPort(%q) = %t, want %t", text, got, want.can)
		}
	}
}

func TestSchemes(t *testing.T) {
	for text, want := range map[string]bool{
		"http": true, "HTTPS": true, "a+b-c.d1": true, "a": true,
		"": false, "1a": false, "+a": false, "a_b": false, "a:": false, "ä": false, "a b": false,
	} {
		if got := IsScheme(text); got != want {
			t.Errorf("IsScheme(%q) = %t, want %t", text, got, want)
		}
	}
}

// FuzzSplit: package net splits what is split here, and in the same way. A host that
// may be passed on is one for net/url, too; net/url wants other characters than this
// package to be percent-encoded.
func FuzzSplit(f *testing.F) {
	for _, tt := range hosts {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := Split(text)
		if ok && p.HasPort {
			host, port, err := net.SplitHostPort(text)
			if err != nil || host != p.Host || port != p.Port {
				t.Errorf("%q is split into %+v, by package net into %q and %q, %v", text, p, host, port, err)
			}
		}
		if !IsURIHost(text) || strings.Contains(text, "%") {
			return
		}
		u, err := url.Parse("http://" + text + "/")
		if err != nil {
			t.Fatalf("%q is a host, but for net/url: %v", text, err)
		}
		if u.Port() != p.Port || u.User != nil || u.Path != "/" {
			t.Errorf("%q is split into %+v, by net/url into %q and %q", text, p, u.Hostname(), u.Port())
		}
	})
}
