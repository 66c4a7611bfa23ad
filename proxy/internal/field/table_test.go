package field

import (
	"slices"
	"strings"
	"testing"
)

// properties are all names that the proxy treats in some way of its own, and what is said
// of each. It is written apart from the table, by property.
var properties = map[string][]string{
	"Hop": {
		"Connection", "Content-Length", "HTTP2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
	},
	"Framing":    {"Content-Length", "Transfer-Encoding"},
	"Negotiated": {"TE"},
	"Own":        {"Forwarded", "Host", "Proxy", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"},
	"Handshake":  {"Sec-WebSocket-*"},
	"Vouched":    {"X-Forwarded-*", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"},
	"Reserved": {
		"Connection", "Content-Length", "HTTP2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
		"Forwarded", "Host", "Proxy", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP",
		"CDN-Loop", "Expect", "Sec-WebSocket-*",
	},
	"NoTrailer": {
		"Connection", "Content-Length", "HTTP2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
		"Forwarded", "Host", "Proxy", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP",
		"Age", "Authorization", "CDN-Loop", "Cache-Control", "Content-Encoding", "Content-Range", "Content-Type", "Cookie", "Date",
		"Expect", "Expires", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
		"Location", "Max-Forwards", "Origin", "Pragma", "Range", "Retry-After", "Set-Cookie", "Vary", "WWW-Authenticate",
		"Sec-WebSocket-*",
	},
}

var bits = map[string]Properties{
	"Hop": Hop, "Framing": Framing, "Negotiated": Negotiated, "Own": Own,
	"Handshake": Handshake, "Vouched": Vouched, "Reserved": Reserved, "NoTrailer": NoTrailer,
}

// TestProperties goes through all names and all properties, and through all spellings
// that CGI takes for the same name.
func TestProperties(t *testing.T) {
	want := map[string]Properties{"X-Other": 0, "Accept": 0, "User-Agent": 0, "Etag": 0, "Via": 0, "Sec-Fetch-Site": 0, "X-Forwarded": 0}
	for property, names := range properties {
		for _, name := range names {
			want[name] |= bits[property]
		}
	}
	for _, r := range names {
		if _, known := want[r.name]; !known {
			t.Errorf("%s is in no row of this test", r.name)
		}
	}
	for _, r := range families {
		if _, known := want[r.name+"*"]; !known {
			t.Errorf("%s* is in no row of this test", r.name)
		}
	}
	for name, p := range want {
		name = strings.Replace(name, "*", "Any", 1)
		for _, spelled := range []string{
			name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.Replace(name, "-", "_", 1),
		} {
			if got := Of(spelled); got != p {
				t.Errorf("Of(%q) = %08b, want %08b", spelled, got, p)
			}
		}
		for _, other := range []string{name + "s", "X" + name, strings.ReplaceAll(name, "-", " ")} {
			if got := Of(other); other != name && got != 0 && !strings.HasSuffix(name, "Any") && !strings.HasPrefix(name, "X-Forwarded-") {
				t.Errorf("Of(%q) = %08b, but it is not %s", other, got, name)
			}
		}
	}
}

// What is dropped wherever it comes from must not come in by another way.
func TestPropertiesAgree(t *testing.T) {
	for _, r := range slices.Concat(names[:], families[:]) {
		p := r.properties
		if p.Has(Hop|Own|Handshake) && !(p.Has(Reserved) && p.Has(NoTrailer)) {
			t.Errorf("%s is dropped from a head, but can be set, or pass in a trailer", r.name)
		}
		if p.Has(Framing|Negotiated) && !p.Has(Hop) {
			t.Errorf("%s is excepted from Hop, but has it not", r.name)
		}
	}
}

func TestPassesTrust(t *testing.T) {
	for name, want := range map[string]struct{ stranger, trusted bool }{
		"X-Forwarded-Port":   {false, true},
		"x-forwarded-prefix": {false, true},
		"X_Forwarded_Port":   {false, false},
		"X-Forwarded_Port":   {false, false},
		"X-Other":            {true, true},
		"X_Other":            {true, true},
	} {
		if got := PassesTrust(name, false); got != want.stranger {
			t.Errorf("a stranger's %s passes: %t, want %t", name, got, want.stranger)
		}
		if got := PassesTrust(name, true); got != want.trusted {
			t.Errorf("a trusted proxy's %s passes: %t, want %t", name, got, want.trusted)
		}
	}
}

func TestAliases(t *testing.T) {
	for _, pair := range [][2]string{{"X-Forwarded-For", "x_forwarded-FOR"}, {"a", "A"}, {"-", "_"}, {"", ""}} {
		if !isAlias(pair[0], pair[1]) || alias(pair[0]) != alias(pair[1]) {
			t.Errorf("%q and %q are the same to CGI", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"X-Forwarded-For", "X-Forwarded-Fo"}, {"a", "b"}, {"X.A", "X-A"}} {
		if isAlias(pair[0], pair[1]) || alias(pair[0]) == alias(pair[1]) {
			t.Errorf("%q and %q are not the same to CGI", pair[0], pair[1])
		}
	}
}
