package origins

import (
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		stands   []string // origins that it stands for
		not      []string // and some that it does not
		asString string   // if it is not the pattern
	}{{
		pattern: "https://app.example.com",
		stands:  []string{"https://app.example.com", "https://app.example.com:443"},
		not: []string{
			"http://app.example.com", "wss://app.example.com", "https://example.com", "https://www.example.com",
			"https://app.example.com:8443", "https://app.example.com:80", "https://app.example.com:0443",
			"https://a.app.example.com", "https://evil-app.example.com", "https://app.example.com.evil.example",
			"https://app.example.com.", "https://app.example.com/", "https://app.example.com:", "https://app.example.com:443:443",
			"https://app.example.com@evil.example", "https://user@app.example.com", "https://evil.example#https://app.example.com",
			"https://app.example.com, https://evil.example", "https://evil.example https://app.example.com",
			" https://app.example.com", "https://app.example.com ", "https://app.example.com\x00", "https:\\\\app.example.com",
			"https://APP.example.com", "HTTPS://app.example.com", "https://app%2eexample.com", "https://аpp.example.com",
			"app.example.com", "//app.example.com", "https:app.example.com", "https:///app.example.com", "https://https://app.example.com",
			"null", "", "https://", "://", "://app.example.com", "*", "https://*.example.com",
		},
	}, {
		pattern:  "HTTPS://App.Example.COM:443",
		asString: "https://app.example.com",
		stands:   []string{"https://app.example.com"},
		not:      []string{"HTTPS://App.Example.COM:443", "http://app.example.com:443"},
	}, {
		pattern:  "http://localhost:80",
		asString: "http://localhost",
		stands:   []string{"http://localhost", "http://localhost:80"},
		not:      []string{"https://localhost", "https://localhost:80", "http://localhost:3000", "http://127.0.0.1"},
	}, {
		pattern: "https://localhost:80",
		stands:  []string{"https://localhost:80"},
		not:     []string{"https://localhost", "http://localhost", "http://localhost:80"},
	}, {
		pattern: "http://localhost:3000",
		stands:  []string{"http://localhost:3000"},
		not:     []string{"http://localhost", "http://localhost:30000", "http://localhost:3000:3000", "https://localhost:3000"},
	}, {
		pattern: "http://192.0.2.1:8080",
		stands:  []string{"http://192.0.2.1:8080"},
		not:     []string{"http://192.0.2.1", "http://192.0.2.10:8080"},
	}, {
		pattern:  "https://[2001:DB8:0::1]:8443",
		asString: "https://[2001:db8::1]:8443",
		stands:   []string{"https://[2001:db8::1]:8443"},
		not:      []string{"https://[2001:db8:0::1]:8443", "https://[2001:db8::1]", "https://2001:db8::1:8443", "https://[2001:db8::1]8443"},
	}, {
		pattern: "https://[::1]",
		stands:  []string{"https://[::1]", "https://[::1]:443"},
		not:     []string{"https://[::1", "https://[::1]:", "https://[::1]:1", "https://[::1]443", "https://[::1%25lo]"},
	}, {
		pattern:  "https://[::ffff:192.0.2.1]",
		asString: "https://[::ffff:c000:201]",
		stands:   []string{"https://[::ffff:c000:201]"}, // as browsers write it
		not:      []string{"https://192.0.2.1", "https://[::ffff:192.0.2.1]"},
	}, {
		pattern: "https://xn--bcher-kva.example",
		stands:  []string{"https://xn--bcher-kva.example"},
		not:     []string{"https://bücher.example"},
	}, {
		pattern: "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
		stands:  []string{"chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb"},
		not:     []string{"chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcle", "https://aapbdbdomjkkjkaonfhkkikfgjllcleb", "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb:443"},
	}, {
		pattern: "app://main-window:1",
		stands:  []string{"app://main-window:1"},
		not:     []string{"app://main-window"},
	}, {
		pattern: "*.example.com",
		stands:  []string{"https://app.example.com", "http://app.example.com", "https://app.example.com:443", "http://1.example.com:80", "https://x_y-z.example.com", "https://xn--bcher-kva.example.com"},
		not: []string{
			"https://example.com", "https://.example.com", "https://a.b.example.com", "https://evil-example.com", "https://evilexample.com",
			"https://app.example.com.evil.example", "https://app.example.com.", "https://app.example.com:8443", "http://app.example.com:443", "https://app.example.com:80",
			"https://user@app.example.com", "https://evil.example/.example.com", "https://evil.example#.example.com", "https://evil.example?.example.com", "https://evil.example\\.example.com",
			"https://a:b.example.com", "https://a b.example.com", "https://*.example.com", "https://APP.example.com", "https://é.example.com", "https://a%2eb.example.com", "https://[::1].example.com",
			"app://app.example.com", "ws://app.example.com", "://app.example.com", "app.example.com", "null", "",
		},
	}, {
		pattern: "*.example.com:8443",
		stands:  []string{"https://app.example.com:8443", "http://app.example.com:8443"},
		not:     []string{"https://app.example.com", "http://example.com:8443"},
	}, {
		pattern: "*.example.com:443",
		stands:  []string{"https://app.example.com", "http://app.example.com:443"},
		not:     []string{"http://app.example.com"},
	}, {
		pattern:  "https://*.Example.com:443",
		asString: "https://*.example.com",
		stands:   []string{"https://app.example.com"},
		not:      []string{"http://app.example.com", "http://app.example.com:443", "https://app.example.com:8443", "https://example.com"},
	}, {
		pattern: "*.localhost",
		stands:  []string{"http://app.localhost"},
		not:     []string{"http://localhost"},
	}} {
		t.Run(c.pattern, func(t *testing.T) {
			p, err := Parse(c.pattern)
			if err != nil {
				t.Fatal(err)
			}
			wantString(t, p, c.pattern, c.asString)
			for _, origin := range c.stands {
				if !p.Matches(origin) {
					t.Errorf("%q is none of it", origin)
				}
			}
			for _, origin := range c.not {
				if p.Matches(origin) {
					t.Errorf("%q is one of it", origin)
				}
			}
		})
	}
}

func wantString(t *testing.T, p Pattern, text, want string) {
	t.Helper()
	if want == "" {
		want = text
	}
	if got := p.String(); got != want {
		t.Errorf("String: %q, want %q", got, want)
	}
	if again, err := Parse(p.String()); again != p || err != nil {
		t.Errorf("its String is parsed as %+v, %v; want %+v", again, err, p)
	}
}

func TestZeroPattern(t *testing.T) {
	for _, origin := range []string{"", "null", "https://", "http://", "https://example.com", "://"} {
		if (Pattern{}).Matches(origin) {
			t.Errorf("it stands for %q", origin)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const (
		noPath     = "must not contain a path; an origin ends after host and port"
		noQuery    = "must not contain a query or fragment; an origin ends after host and port"
		noSlash    = "must not end with a slash; leave it off"
		noUser     = "must not contain a user name or password"
		noASCII    = `has a character beyond ASCII; write a host name in punycode, like "https://xn--bcher-kva.example"`
		null       = "cannot be allowed: all pages that have no origin of their own share it, sandboxed ones among them"
		asterisk   = `has a misplaced asterisk; it stands for the whole leftmost label of a name, like "*.example.com"`
		ofAddress  = "has an asterisk before an address; it can only stand before a name"
		badPort    = "has no valid port; it must be a number from 1 to 65535"
		badName    = "has no valid host; a name is made of letters, digits, hyphens, underscores and dots"
		badIPv4    = `has no valid host; an IPv4 address is written like "192.0.2.1"`
		badIPv6    = `has no valid host; an IPv6 address is written like "https://[2001:db8::1]:8443"`
		noBrackets = `has more than one colon; an IPv6 address stands in brackets, like "https://[2001:db8::1]:8443"`
		noHost     = `has no host; write for example "https://app.example.com"`
		colon      = "must not end with a colon; leave it off, or add a port"
		dots       = "has a dot too many; a host name neither begins nor ends with one, nor has two in a row"
		badScheme  = `has no valid scheme; write for example "https://app.example.com"`
	)
	for text, want := range map[string]string{
		"":     `is empty; write an origin, like "https://app.example.com"`,
		"*":    "would allow any page; to do so, leave the variable unset",
		"null": null, "NULL": null,

		"example.com":           `has no scheme; write "https://example.com" or "http://example.com"`,
		"LocalHost:3000":        `has no scheme; write "https://localhost:3000" or "http://localhost:3000"`,
		"[0::1]":                `has no scheme; write "https://[::1]" or "http://[::1]"`,
		"wss://example.com":     `names a service, not a page; write the page's origin, like "https://example.com"`,
		"ws://*.example.com:80": `names a service, not a page; write the page's origin, like "http://*.example.com:80"`,
		"://example.com":        badScheme,
		"*://example.com":       badScheme,
		"1x://example.com":      badScheme,
		"http s://example.com":  badScheme,

		"https://example.com/":    noSlash,
		"example.com/":            noSlash,
		"*.example.com/":          noSlash,
		"https://example.com//":   noPath,
		"https://example.com/app": noPath,
		"https://example.com/*":   noPath,
		"//example.com":           noPath,
		"https:/example.com":      noPath,
		`https:\\example.com`:     noPath,
		"https://example.com?a":   noQuery,
		"https://example.com/?a":  noQuery,
		"https://example.com#":    noQuery,
		"https://a:b@example.com": noUser,
		"https://@example.com":    noUser,

		"https://*":                asterisk,
		"*:443":                    asterisk,
		"https://*:443":            asterisk,
		"*.*.example.com":          asterisk,
		"*example.com":             asterisk,
		"app-*.example.com":        asterisk,
		"https://*app.example.com": asterisk,
		"https://app.*.com":        asterisk,
		"https://example.*":        asterisk,
		"https://**.example.com":   asterisk,
		"*.192.0.2.1":              ofAddress,
		"*.[::1]":                  ofAddress,
		"*.0x7f":                   ofAddress,

		"https://example.com:":      colon,
		"https://[::1]:":            colon,
		"https://example.com:0":     badPort,
		"https://example.com:0443":  badPort,
		"https://example.com:+443":  badPort,
		"https://example.com:65536": badPort,
		"https://example.com:https": badPort,
		"https://example.com:*":     badPort,
		"https://[::1]x":            badIPv6,
		"https://a:b:c":             noBrackets,
		"https://2001:db8::1":       noBrackets,
		"::1":                       noBrackets,
		"https://[::1":              badIPv6,
		"https://[fe80::1%eth0]":    badIPv6,
		"https://[192.0.2.1]":       badIPv6,
		"https://[]":                badIPv6,
		"https://[example.com]":     badIPv6,
		"https://127.1":             badIPv4,
		"https://2130706433":        badIPv4,
		"https://0x7f000001":        badIPv4,
		"https://127.0.0.01":        badIPv4,
		"https://256.0.0.1":         badIPv4,
		"https://example.1":         badIPv4,

		"https://":                   noHost,
		"file://":                    noHost,
		"*.":                         noHost,
		"https://:443":               noHost,
		"https://example.com.":       dots,
		"https://.example.com":       dots,
		"*.example..com":             dots,
		"https://exam ple.com":       badName,
		"https://exam%70le.com":      badName,
		"https://exam,ple.com":       badName,
		"https://example.com\x00":    badName,
		"https://x[::1]":             badIPv6,
		"https://bücher.example":     noASCII,
		"https://\u212aiosk.example": noASCII, // the Kelvin sign, a k in lower case
		"https://example\xff.com":    noASCII,

		"https://" + strings.Repeat("a.", 126) + "aa": "has a host name of more than 253 characters",
	} {
		p, err := Parse(text)
		switch {
		case err == nil:
			t.Errorf("%q is taken for %+v", text, p)
		case err.Error() != want:
			t.Errorf("%q %v\nwant: %q %s", text, err, text, want)
		case p != Pattern{}:
			t.Errorf("%q: an error, and %+v", text, p)
		}
	}
	if _, err := Parse("https://" + strings.Repeat("a.", 126) + "a"); err != nil {
		t.Errorf("the longest host name %v", err)
	}
}

func TestMatchesDoesNotAllocate(t *testing.T) {
	p, err := Parse("*.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { p.Matches("https://app.example.com") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
