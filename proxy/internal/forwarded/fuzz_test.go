package forwarded

import (
	"net/netip"
	"slices"
	"testing"

	"holdfast/proxy/internal/field"
)

// FuzzResolve sends fields twice, by a stranger and through trusted proxies that add whom
// they saw, and looks for a difference that the sender makes.
func FuzzResolve(f *testing.F) {
	f.Fuzz(func(t *testing.T, xff, proto, host, forwarded string) {
		claim := fields{"X-Forwarded-For: " + xff, "X-Forwarded-Proto: " + proto, "X-Forwarded-Host: " + host, "Forwarded: " + forwarded, "X-Real-IP: " + xff}
		wantNoDifference(t, claim)
		wantClientFound(t, xff, claim[1:])
		for _, peer := range []string{"10.0.0.1", "fd00::1", ""} {
			wantOneStory(t, inner.Resolve(hop(peer), claim.values))
		}
	})
}

func wantNoDifference(t *testing.T, claim fields) {
	for _, peer := range []string{"192.0.2.1", "2001:db8::1"} {
		got, want := inner.Resolve(hop(peer), claim.values), inner.Resolve(hop(peer), nothing)
		if got.Client != want.Client || got.Believed || !slices.Equal(got.Fields, want.Fields) {
			t.Fatalf("a stranger's %q makes\n%+v of\n%+v", claim, got, want)
		}
	}
}

// wantClientFound: the first trusted proxy may add to X-Forwarded-For, on the
// same line or on another, and pass all else on.
func wantClientFound(t *testing.T, xff string, rest fields) {
	client := netip.MustParseAddr("192.0.2.1")
	for _, seen := range [][]string{
		{"X-Forwarded-For: " + xff + ", 192.0.2.1"},
		{"X-Forwarded-For: " + xff + ", 192.0.2.1, 10.0.0.2"},
		{"X-Forwarded-For: " + xff, "X-Forwarded-For: 192.0.2.1"},
	} {
		s := inner.Resolve(hop("10.0.0.1"), slices.Concat(seen, rest).values)
		if s.Client != client {
			t.Fatalf("%q and %q make the client %s, want %s", seen, rest, s.Client, client)
		}
		wantOneStory(t, s)
	}
}

// wantOneStory: what goes upstream is made of valid field values, names the
// same nodes twice, and is believed as it is by the next proxy.
func wantOneStory(t *testing.T, s Story) {
	if !slices.IsSortedFunc(names(s), func(a, b string) int { return slices.Index(tells, a) - slices.Index(tells, b) }) {
		t.Fatalf("the fields are %q, in another order than %q", names(s), tells)
	}
	var told fields
	for _, f := range s.Fields {
		if f.Value == "" || f.Value != field.TrimOWS(f.Value) || !field.IsValue(f.Value) {
			t.Fatalf("%s: %q is not a field value", f.Name, f.Value)
		}
		told = append(told, f.Name+": "+f.Value)
	}
	xff, elements := lastNodes(told.values), parseForwarded(told.values)
	if len(xff) == maxNodes {
		return // the next proxy forgets some
	}
	chain, text := read(elements)
	if !slices.EqualFunc(xff, chain, func(n, m node) bool { return n.addr == m.addr }) {
		t.Fatalf("X-Forwarded-For and Forwarded name other nodes:\n%q", told)
	}
	next := inner.Resolve(hop(""), told.values)
	if next.Client != s.Client && s.Client.IsValid() {
		t.Fatalf("the client is %s, and for the next proxy %s:\n%q", s.Client, next.Client, told)
	}
	if got := value(next, "Forwarded"); got != text+", host=h.example;proto=http" {
		t.Fatalf("the next proxy does not believe this:\n%q\nand says %q", told, got)
	}
}
