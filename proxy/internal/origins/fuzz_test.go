package origins

import (
	"cmp"
	"net/url"
	"strings"
	"testing"
)

// FuzzMatches: a Pattern stands for exactly the origins that net/url finds equal,
// and is itself again when it is written and parsed.
func FuzzMatches(f *testing.F) {
	for _, pattern := range []string{
		"https://app.example.com", "http://localhost:3000", "*.example.com", "https://*.example.com:8443",
		"https://[2001:db8::1]", "https://[::ffff:192.0.2.1]", "app://main", "*.example.com:443", "http://192.0.2.1:80",
	} {
		for _, origin := range []string{
			"https://app.example.com", "http://localhost:3000", "https://app.example.com:8443", "https://example.com",
			"https://[2001:db8::1]:443", "https://[::ffff:c000:201]", "app://main", "https://a.app.example.com",
			"https://user@app.example.com", "https://app.example.com.", "https://app.example.com/", "http://192.0.2.1", "null",
		} {
			f.Add(pattern, origin)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, origin string) {
		p, err := Parse(pattern)
		if err != nil {
			if p != (Pattern{}) || p.Matches(origin) {
				t.Fatalf("%q: %v, but it stands for something: %+v", pattern, err, p)
			}
			return
		}
		if again, err := Parse(p.String()); again != p || err != nil {
			t.Fatalf("%q is written %q and parsed as %+v, %v; want %+v", pattern, p, again, err, p)
		}
		// The given origin is seldom near; one made of the pattern is.
		for _, o := range []string{origin, pattern, strings.Replace(p.String(), "*", origin, 1), "https://" + strings.Replace(p.String(), "*", origin, 1)} {
			if got, want := p.Matches(o), isOneOf(o, p); got != want {
				t.Fatalf("%q for %q: %t, want %t", p, o, got, want)
			}
		}
	})
}

// isOneOf is Matches by net/url.
func isOneOf(origin string, p Pattern) bool {
	o, err := url.Parse(origin)
	if err != nil || o.Scheme+"://"+o.Host != origin || o.Host != strings.ToLower(o.Host) || strings.HasSuffix(o.Host, ":") {
		return false // no origin, or not as browsers write it
	}
	text := p.String()
	if !strings.Contains(text, "://") {
		if o.Scheme != "http" && o.Scheme != "https" {
			return false
		}
		text = o.Scheme + "://" + text
	}
	want, err := url.Parse(text)
	return err == nil && sameOrigin(o, want)
}

// sameOrigin compares an origin with a pattern that has a scheme.
func sameOrigin(o, want *url.URL) bool {
	host := o.Hostname()
	if base, anyLabel := strings.CutPrefix(want.Hostname(), "*."); anyLabel {
		label, isBelow := strings.CutSuffix(host, "."+base)
		if !isBelow || label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
		host = "*." + base
	}
	return o.Scheme == want.Scheme && host == want.Hostname() && effectivePort(o) == effectivePort(want)
}

func effectivePort(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}
