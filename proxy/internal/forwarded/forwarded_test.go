package forwarded

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"holdfast/proxy/internal/field"
)

// fields are header fields as "Name: value" lines.
type fields []string

// values is the fields' Lookup.
func (f fields) values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range f {
			n, value, _ := strings.Cut(line, ": ")
			if strings.EqualFold(n, name) && !yield(value) {
				return
			}
		}
	}
}

// nothing is the Lookup of a request without fields.
func nothing(string) iter.Seq[string] { return func(func(string) bool) {} }

// inner trusts a private network and the peers of unix sockets.
var inner = &Trust{
	Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("fe80::/10")},
	Unix:     true,
}

// hop is a request over plain HTTP; an empty peer is that of a unix socket.
func hop(peer string) Hop {
	h := Hop{Host: "h.example"}
	if peer != "" {
		h.Peer = netip.MustParseAddr(peer)
	}
	return h
}

// lines are the fields of a story as a test writes them.
func lines(s Story) string {
	var b strings.Builder
	for _, f := range s.Fields {
		if f.Name == field.XRealIP { // see wantsRealIP
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}

// wantsRealIP: X-Real-IP is the client's address, and is missing if that is not known.
func wantsRealIP(t *testing.T, s Story) {
	t.Helper()
	want := ""
	if s.Client.IsValid() {
		want = s.Client.Unmap().WithZone("").String()
	}
	if got, n := s.Fields.Single(field.XRealIP); got != want || (n == 1) != (want != "") {
		t.Errorf("X-Real-IP is %q, %d times, want %q", got, n, want)
	}
}

func TestPeer(t *testing.T) {
	for addr, want := range map[string]bool{
		"10.1.2.3":        true,
		"::ffff:10.1.2.3": true, // IPv4 on a socket for both
		"11.0.0.1":        false,
		"fd00::1":         true,
		"fe80::1%eth0":    true,
		"2001:db8::1":     false,
		"::1":             false,
		"::":              false,
	} {
		if got := inner.Peer(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is trusted: %t, want %t", addr, got, want)
		}
	}
	for _, unix := range []bool{true, false} {
		trust := Trust{Unix: unix, Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
		if got := trust.Peer(netip.Addr{}); got != unix {
			t.Errorf("the peer of a unix socket is trusted: %t, want %t", got, unix)
		}
	}
}

// TestStranger: nothing that an untrusted peer says makes a difference.
func TestStranger(t *testing.T) {
	claims := []fields{
		nil,
		{"X-Forwarded-For: 6.6.6.6"},
		{"X-Forwarded-For: 6.6.6.6, 10.0.0.1", "x-forwarded-for: 10.0.0.2"},
		{"X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "Forwarded: for=6.6.6.6;host=evil.example;proto=https"},
		{"Forwarded: for=192.0.2.1;host=h.example;proto=https"},
		{"X-Real-IP: 6.6.6.6"},
	}
	tests := []struct {
		why    string
		hop    Hop
		client string
		want   string
	}{
		{"IPv4", hop("192.0.2.1"), "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: h.example\nForwarded: for=192.0.2.1;host=h.example;proto=http\n"},
		{"IPv6, TLS, a port", Hop{Peer: netip.MustParseAddr("2001:DB8::1"), TLS: true, Host: "h.example:8443"}, "2001:db8::1",
			"X-Forwarded-For: 2001:db8::1\nX-Forwarded-Proto: https\nX-Forwarded-Host: h.example:8443\n" +
				"Forwarded: for=\"[2001:db8::1]\";host=\"h.example:8443\";proto=https\n"},
		{"IPv4 in IPv6", hop("::ffff:192.0.2.1"), "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: h.example\nForwarded: for=192.0.2.1;host=h.example;proto=http\n"},
		{"a zone stays here", hop("fe80::1%eth0"), "fe80::1%eth0",
			"X-Forwarded-For: fe80::1\nX-Forwarded-Proto: http\nX-Forwarded-Host: h.example\nForwarded: for=\"[fe80::1]\";host=h.example;proto=http\n"},
		{"an IPv6 host", Hop{Peer: netip.MustParseAddr("192.0.2.1"), Host: "[::1]"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: [::1]\nForwarded: for=192.0.2.1;host=\"[::1]\";proto=http\n"},
		{"no host", Hop{Peer: netip.MustParseAddr("192.0.2.1")}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: http\nForwarded: for=192.0.2.1;proto=http\n"},
		{"no valid host", Hop{Peer: netip.MustParseAddr("192.0.2.1"), Host: "a\"\r\nb"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: http\nForwarded: for=192.0.2.1;proto=http\n"},
		{"a unix socket", hop(""), "invalid IP",
			"X-Forwarded-Proto: http\nX-Forwarded-Host: h.example\nForwarded: host=h.example;proto=http\n"},
	}
	for _, tt := range tests {
		for _, claim := range claims {
			s := (&Trust{}).Resolve(tt.hop, claim.values)
			wantsRealIP(t, s)
			if s.Believed || s.Client.String() != tt.client || lines(s) != tt.want {
				t.Errorf("%s, claiming %q: client %s, believed %t\n%swant client %s\n%s",
					tt.why, claim, s.Client, s.Believed, lines(s), tt.client, tt.want)
			}
		}
	}
}

func TestTrusted(t *testing.T) {
	const (
		proto = "X-Forwarded-Proto: http\n"
		host  = "X-Forwarded-Host: h.example\n"
		seen  = "host=h.example;proto=http\n" // by ourselves
	)
	tests := []struct {
		why    string
		peer   string // "" for a unix socket
		said   fields
		client string
		want   string
	}{
		{"nothing", "10.0.0.1", nil, "10.0.0.1",
			"X-Forwarded-For: 10.0.0.1\n" + proto + host + "Forwarded: for=10.0.0.1;" + seen},
		{"all X- fields", "10.0.0.1",
			fields{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: app.example:444"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: app.example:444\n" +
				"Forwarded: for=192.0.2.1;host=\"app.example:444\";proto=https, for=10.0.0.1;" + seen},
		{"only that it is https", "10.0.0.1", fields{"X-Forwarded-Proto: https"}, "10.0.0.1",
			"X-Forwarded-For: 10.0.0.1\nX-Forwarded-Proto: https\n" + host + "Forwarded: for=10.0.0.1;host=h.example;proto=https\n"},
		{"several proxies over several lines", "10.0.0.1",
			fields{"X-Forwarded-For: 192.0.2.9,192.0.2.1", "x-forwarded-for: 10.0.0.3 ,, 10.0.0.2,", "X-Forwarded-For:"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.9, 192.0.2.1, 10.0.0.3, 10.0.0.2, 10.0.0.1\n" + proto + host +
				"Forwarded: for=192.0.2.9;host=h.example;proto=http, for=192.0.2.1, for=10.0.0.3, for=10.0.0.2, for=10.0.0.1;" + seen},
		{"X-Real-IP alone", "10.0.0.1", fields{"X-Real-IP: 192.0.2.1"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\n" + proto + host + "Forwarded: for=192.0.2.1;host=h.example;proto=http, for=10.0.0.1;" + seen},
		{"a client's X-Real-IP that came through", "10.0.0.1", fields{"X-Real-IP: 6.6.6.6", "X-Forwarded-For: 192.0.2.1"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\n" + proto + host + "Forwarded: for=192.0.2.1;host=h.example;proto=http, for=10.0.0.1;" + seen},
		{"a client's X-Real-IP, and Forwarded", "10.0.0.1", fields{"X-Real-IP: 6.6.6.6", "Forwarded: for=192.0.2.1"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\n" + proto + host + "Forwarded: for=192.0.2.1, for=10.0.0.1;" + seen},
		{"two of X-Real-IP", "10.0.0.1", fields{"X-Real-IP: 6.6.6.6", "X-Real-IP: 192.0.2.1"}, "10.0.0.1",
			"X-Forwarded-For: 10.0.0.1\n" + proto + host + "Forwarded: for=10.0.0.1;" + seen},
		{"X-Real-IP that is not an address", "10.0.0.1", fields{"X-Real-IP: _x"}, "10.0.0.1",
			"X-Forwarded-For: 10.0.0.1\n" + proto + host + "Forwarded: for=10.0.0.1;" + seen},
		{"a client within the trusted network", "10.0.0.1", fields{"X-Forwarded-For: 10.0.0.9, 10.0.0.2"}, "10.0.0.9",
			"X-Forwarded-For: 10.0.0.9, 10.0.0.2, 10.0.0.1\n" + proto + host +
				"Forwarded: for=10.0.0.9;host=h.example;proto=http, for=10.0.0.2, for=10.0.0.1;" + seen},
		{"IPv6, a port, a zone, IPv4 in IPv6", "fd00::1",
			fields{"X-Forwarded-For: [2001:db8::1]:80, 10.0.0.3:81, fe80::1%eth0, [fd00::2], ::ffff:10.0.0.2"}, "2001:db8::1",
			"X-Forwarded-For: [2001:db8::1]:80, 10.0.0.3:81, fe80::1, [fd00::2], ::ffff:10.0.0.2, fd00::1\n" + proto + host +
				"Forwarded: for=\"[2001:db8::1]\";host=h.example;proto=http, for=10.0.0.3, for=\"[fe80::1]\", for=\"[fd00::2]\", for=10.0.0.2, for=\"[fd00::1]\";" + seen},
		{"a hidden node", "10.0.0.1", fields{"X-Forwarded-For: 192.0.2.1, _hidden, 10.0.0.2"}, "10.0.0.2",
			"X-Forwarded-For: 192.0.2.1, _hidden, 10.0.0.2, 10.0.0.1\n" + proto + host +
				"Forwarded: for=192.0.2.1;host=h.example;proto=http, for=_hidden, for=10.0.0.2, for=10.0.0.1;" + seen},
		{"an unknown client", "10.0.0.1", fields{"X-Forwarded-For: Unknown"}, "10.0.0.1",
			"X-Forwarded-For: Unknown, 10.0.0.1\n" + proto + host + "Forwarded: for=Unknown;host=h.example;proto=http, for=10.0.0.1;" + seen},
		{"garbage is unknown", "10.0.0.1", fields{"X-Forwarded-For: 192.0.2.1, <a b>, 10.0.0.2"}, "10.0.0.2",
			"X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.2, 10.0.0.1\n" + proto + host +
				"Forwarded: for=192.0.2.1;host=h.example;proto=http, for=unknown, for=10.0.0.2, for=10.0.0.1;" + seen},
		{"a unix socket adds no address", "", fields{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1\n" + proto + host + "Forwarded: for=192.0.2.1;host=h.example;proto=http, " + seen},
		{"a unix socket, and nobody knows", "", fields{"X-Forwarded-For: unknown"}, "invalid IP",
			"X-Forwarded-For: unknown\n" + proto + host + "Forwarded: for=unknown;host=h.example;proto=http, " + seen},
		{"a unix socket that says nothing", "", nil, "invalid IP", proto + host + "Forwarded: " + seen},

		{"any scheme", "10.0.0.1", fields{"X-Forwarded-Proto: wss"}, "10.0.0.1",
			"X-Forwarded-For: 10.0.0.1\nX-Forwarded-Proto: wss\n" + host + "Forwarded: for=10.0.0.1;host=h.example;proto=wss\n"},
		{"no scheme, no host", "10.0.0.1", fields{"X-Forwarded-Proto: 'https'", "X-Forwarded-Host: http://a.example/"}, "10.0.0.1",
			"X-Forwarded-For: 10.0.0.1\n" + proto + host + "Forwarded: for=10.0.0.1;" + seen},
		{"a port that is not a number", "10.0.0.1", fields{"X-Forwarded-Host: a.example:b", `Forwarded: for=_a;host="[::1]:b"`}, "10.0.0.1",
			"X-Forwarded-For: 10.0.0.1\n" + proto + host + "Forwarded: for=10.0.0.1;" + seen},
		{"an entry missing", "10.0.0.1", fields{"X-Forwarded-Proto: https,", "X-Forwarded-Host: "}, "10.0.0.1",
			"X-Forwarded-For: 10.0.0.1\n" + proto + host + "Forwarded: for=10.0.0.1;" + seen},
		{"lists pass, and Forwarded leaves open which counts", "10.0.0.1",
			fields{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https,http", "X-Forwarded-Host: a.example", "X-Forwarded-Host: b.example"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: https, http\nX-Forwarded-Host: a.example, b.example\n" +
				"Forwarded: for=192.0.2.1, for=10.0.0.1;" + seen},

		{"Forwarded alone", "10.0.0.1",
			fields{`Forwarded: for="[2001:db8::1]:80";PROTO=https;host="app.example";by=_b, For=10.0.0.2; ext="a,\";b"`}, "2001:db8::1",
			"X-Forwarded-For: 2001:db8::1, 10.0.0.2, 10.0.0.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: app.example\n" +
				`Forwarded: for="[2001:db8::1]:80";PROTO=https;host="app.example";by=_b, For=10.0.0.2; ext="a,\";b", for=10.0.0.1;` + seen},
		{"Forwarded over several lines, a station without address", "10.0.0.1",
			fields{"Forwarded: ,for=192.0.2.1,", "forwarded: host=a.example ,\tfor=_x"}, "10.0.0.1",
			"X-Forwarded-For: 192.0.2.1, _x, 10.0.0.1\n" + proto + host +
				"Forwarded: for=192.0.2.1, host=a.example, for=_x, for=10.0.0.1;" + seen},
		{"Forwarded that agrees is extended", "10.0.0.1",
			fields{"X-Forwarded-For: 192.0.2.1, 10.0.0.2", "X-Forwarded-Proto: HTTPS", `Forwarded: for="192.0.2.1:80";proto=https;by=_a, for=10.0.0.2`}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.2, 10.0.0.1\nX-Forwarded-Proto: HTTPS\n" + host +
				`Forwarded: for="192.0.2.1:80";proto=https;by=_a, for=10.0.0.2, for=10.0.0.1;` + seen},
		{"a client's Forwarded that came through", "10.0.0.1",
			fields{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=6.6.6.6;proto=https;host=evil.example"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\n" + proto + host +
				"Forwarded: for=192.0.2.1;host=h.example;proto=http, for=10.0.0.1;" + seen},
		{"one that says more addresses", "10.0.0.1",
			fields{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=6.6.6.6, for=192.0.2.1"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\n" + proto + host +
				"Forwarded: for=192.0.2.1;host=h.example;proto=http, for=10.0.0.1;" + seen},
		{"one that agrees on the address only", "10.0.0.1",
			fields{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http", "Forwarded: for=192.0.2.1;proto=https"}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\n" + proto + host +
				"Forwarded: for=192.0.2.1;host=h.example;proto=http, for=10.0.0.1;" + seen},
		{"one that opens a quote", "10.0.0.1",
			fields{"X-Forwarded-For: 192.0.2.1", `Forwarded: for="6.6.6.6, for=192.0.2.1`}, "192.0.2.1",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\n" + proto + host +
				"Forwarded: for=192.0.2.1;host=h.example;proto=http, for=10.0.0.1;" + seen},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			s := inner.Resolve(hop(tt.peer), tt.said.values)
			wantsRealIP(t, s)
			if !s.Believed {
				t.Error("not believed")
			}
			if got := s.Client.String(); got != tt.client {
				t.Errorf("the client is %s, want %s", got, tt.client)
			}
			if got := lines(s); got != tt.want {
				t.Errorf("told\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// TestSpoofing: the client is whom the outermost trusted proxy saw, whatever
// stands before that.
func TestSpoofing(t *testing.T) {
	const client = "192.0.2.1"
	for _, claim := range []string{
		"6.6.6.6", "10.0.0.9", "6.6.6.6, 10.0.0.9", "unknown", "_x", "", ",,", `"`, "[", "::1", "192.0.2.1:80, [::", "\x00",
		strings.Repeat("6.6.6.6,", 10_000),
	} {
		for _, way := range []string{client, client + ", 10.0.0.3", client + ":4711,fd00::3,10.0.0.2"} {
			said := fields{"X-Forwarded-For: " + claim + "," + way, "Forwarded: for=" + claim}
			doubled := fields{"X-Forwarded-For: " + claim, "Forwarded: for=" + claim, "X-Forwarded-For: " + way}
			for _, f := range []fields{said, doubled} {
				if got := inner.Resolve(hop("10.0.0.1"), f.values).Client.String(); got != client {
					t.Errorf("%.60q makes the client %s, want %s", f, got, client)
				}
			}
		}
	}
}

func TestLongListsLoseTheirOldest(t *testing.T) {
	said := fields{"X-Forwarded-For: " + strings.Repeat("192.0.2.1, ", maxNodes) + "192.0.2.2", "X-Forwarded-Proto: " + strings.Repeat("a,", maxNodes) + "a"}
	s := inner.Resolve(hop("10.0.0.1"), said.values)
	want := strings.Repeat("192.0.2.1, ", maxNodes-1) + "192.0.2.2, 10.0.0.1"
	if got := s.Fields[0].Value; got != want {
		t.Errorf("X-Forwarded-For: %s, want %s", got, want)
	}
	if got := s.Fields[1].Value; got != "http" {
		t.Errorf("X-Forwarded-Proto: %s, want our own", got)
	}
}

func TestParseForwarded(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("for=_a,", maxNodes), ",")
	for in, want := range map[string]int{ // the number of elements; 0 if malformed
		"":                                0,
		" , ,\t":                          0,
		"for=192.0.2.1":                   1,
		"for=192.0.2.1,for=_x":            2,
		"FOR=unknown; proto=http ;, by=a": 2,
		";for=_x;;":                       1,
		";":                               1,
		`for="192.0.2.1:_http"`:           1,
		`for="[::1]"`:                     1,
		`for="\1\92.0.2.1"`:               1,
		`ext=""`:                          1,
		`ext="` + "\t\xff" + `"`:          1,
		many:                              maxNodes,

		many + ",for=_a":                  0,
		"for":                             0,
		"for=":                            0,
		"=a":                              0,
		"for =_a":                         0,
		"for= _a":                         0,
		"for=_a b=c":                      0,
		`for=""`:                          0,
		`for="`:                           0,
		`for="_a`:                         0,
		`for="_a\`:                        0,
		`for="_a"b`:                       0,
		`for=_a"b"`:                       0,
		"for=[::1]":                       0,
		"for=192.0.2.1:80":                0,
		"for=::1":                         0,
		`for="192.0.2.256"`:               0,
		`for="192.0.2.1:"`:                0,
		`for="192.0.2.1:654321"`:          0,
		`for="[192.0.2.1]"`:               0,
		`for="[::1"`:                      0,
		`for="[::1]80"`:                   0,
		`for="_"`:                         0,
		"for=example.com":                 0,
		"for=_a;for=_a":                   0,
		"host=a;HOST=b":                   0,
		"proto=a;proto=a":                 0,
		"proto=1":                         0,
		`host="a b"`:                      0,
		`host="a,b"`:                      0,
		`host="\"a"`:                      0,
		`host="a:b"`:                      0,
		`host="[a]"`:                      0,
		`host=""`:                         0,
		"ext=\"\x00\"":                    0,
		"ext=\"\\\x7f\"":                  0,
		"ext=\xff":                        0,
		"e\xfft=a":                        0,
		"for=_a\x00":                      0,
		"for=_a, for=\"_b, for=_c":        0,
		"for=_a;proto=http;host=a.b:80":   0,
		"for=_a;proto=http;host=\"a:80\"": 1,
	} {
		if got := parseForwarded(fields{"Forwarded: " + in}.values); len(got) != want {
			t.Errorf("%.60q has %d elements, want %d", in, len(got), want)
		}
	}
	if got := parseForwarded(fields{"Forwarded: for=_a", "Forwarded: for"}.values); got != nil {
		t.Errorf("a malformed line leaves %v of the other", got)
	}
}

// tells are the names in the order in which Story has them.
var tells = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP"}

func names(s Story) (names []string) {
	for _, f := range s.Fields {
		names = append(names, f.Name)
	}
	return names
}

func value(s Story, name string) string {
	i := slices.IndexFunc(s.Fields, func(f field.Field) bool { return f.Name == name })
	if i < 0 {
		return ""
	}
	return s.Fields[i].Value
}

// A trusted peer that passes on what somebody sends whom it does not name says
// nothing itself.
func TestAnonymous(t *testing.T) {
	trust := Trust{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	hop := Hop{Peer: netip.MustParseAddr("10.0.0.1"), Host: "h.example", Anonymous: true}
	s := trust.Resolve(hop, fields{"X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6"}.values)
	if s.Believed || s.Client.String() != "10.0.0.1" || s.Fields[0].Value != "10.0.0.1" {
		t.Errorf("the client's own words are believed: %+v", s)
	}
}
