package message

import (
	"strings"
	"testing"
)

func mustPattern(t *testing.T, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return p
}

func mustAnswers(t *testing.T, s string) []Answer {
	t.Helper()
	all, err := ParseAnswers(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return all
}

// A shell leaves letters, braces and commas.
func TestLacksQuotes(t *testing.T) {
	for text, want := range map[string]bool{
		"{type:ping}": true, "[null,7,phoenix,heartbeat,{}]": true, "{type:": true,
		`{"type":"ping"}`: false, "{'type':1}": false, "[null,true,1]": false, "{}": false, "[ping]": false, "ping:a,b": false, "": false,
	} {
		if got := LacksQuotes(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	const no = "no match"
	for _, tc := range []struct{ pattern, text, wild string }{
		{"ping", "ping", ""},
		{"ping", "pin", no},
		{"ping", "pings", no},
		{"ping", "Ping", no},
		{"ping", "", no},
		{"ping*", "ping", ""},
		{"ping*", "ping 7", " 7"},
		{"*ping", "ping", ""},
		{"*ping", "a pingping", "a ping"},
		{`{"type":"ping","id":*}`, `{"type":"ping","id":42}`, "42"},
		{`{"type":"ping","id":*}`, `{"type":"ping","id":}`, ""},
		{`{"type":"ping","id":*}`, `{"type":"ping","id":42`, no},
		{"ab*ba", "aba", no}, // both parts are needed
		{"ab*ba", "abba", ""},
		{"ab*ba", "ab\nba", "\n"},
		{"ab*ba", "ab**ba", "**"},
		{`a\*`, "a*", ""},
		{`a\*`, "ab", no},
		{"a*", "a\xff", no}, // not UTF-8
		{"a*", "a\xc3", no},
		{"a*é", "aéé", "é"},
		{`\n`, "\n", ""},
		{`\x7b\=\;\\\r\t`, "{=;\\\r\t", ""},
		{"a=>b;;c", "a=>b;;c", ""}, // they are not special here
		{`\xc3\xa9`, "é", ""},
	} {
		p := mustPattern(t, tc.pattern)
		wild, ok := p.Match([]byte(tc.text))
		if want := tc.wild != no; ok != want || ok && string(wild) != tc.wild {
			t.Errorf("%q matches %q: got %q, %t; want %q, %t", tc.pattern, tc.text, wild, ok, tc.wild, want)
		}
		for end := range len(tc.text) + 1 {
			if beginning := tc.text[:end]; ok && !p.MayMatch([]byte(beginning)) {
				t.Errorf("%q matches %q, and not what begins with %q", tc.pattern, tc.text, beginning)
			}
		}
	}
}

// A message is held back only while it can match.
func TestMayMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, beginning string
		want               bool
	}{
		{"ping", "", true},
		{"ping", "pi", true},
		{"ping", "po", false},
		{"ping", "ping", true},
		{"ping", "pingp", false},
		{"a*z", "b", false},
		{"a*z", "a", true},
		{"a*z", "az", true}, // the z may be a part of what the wildcard stands for
		{"a*z", "azzz", true},
		{"a*z", "ab", true},
		{"a*z", "a\xc3", true},
		{"a*z", "a\xf0\x9f\x98", true},
		{"a*z", "a\xc3b", false},
		{"a*z", "a\xff", false},
		{"a*z", "a\xed\xa0", false}, // a surrogate
		{"é*", "\xc3", true},
		{"*z", "\xc3", true},
		{"*z", "\x80", false},
	} {
		p := mustPattern(t, tc.pattern)
		if got := p.MayMatch([]byte(tc.beginning)); got != tc.want {
			t.Errorf("%q may match what begins with %q: got %t", tc.pattern, tc.beginning, got)
		}
	}
}

func TestOverlaps(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"ping", "ping", true},
		{"ping", "pong", false},
		{"ping", "p*g", true},
		{"ping", "p*pi", false},
		{"a*", "*z", true},
		{"ab*", "a*", true},
		{"ab*", "ac*", false},
		{"a*yz", "ab*z", true},
		{"a*y", "a*z", false},
		{"a*a", "a", false},
	} {
		a, b := mustPattern(t, tc.a), mustPattern(t, tc.b)
		if a.Overlaps(&b) != tc.want || b.Overlaps(&a) != tc.want {
			t.Errorf("%q overlaps %q: got %t and %t, want %t", tc.a, tc.b, a.Overlaps(&b), b.Overlaps(&a), tc.want)
		}
	}
}

func TestAnswer(t *testing.T) {
	for _, tc := range []struct{ rule, text, want string }{
		{"ping=>pong", "ping", "pong"},
		{"2*=>3*", "2probe", "3probe"},
		{`{"type":"ping","id":*}=>{"type":"pong","id":*}`, `{"type":"ping","id":"a"}`, `{"type":"pong","id":"a"}`},
		{"ask*=>yes", "ask me", "yes"},
		{"a*=>*", "abc", "bc"},
		{`a\=>b=>c=>d`, "a=>b", "c=>d"},
		{`a\;;b=>c;d\;\;e`, "a;;b", "c;d;;e"},
		{`a\nb=>\x00\*`, "a\nb", "\x00*"},
		{`=\=>=>ok`, "==>", "ok"},
	} {
		all := mustAnswers(t, tc.rule)
		wild, ok := all[0].Asked.Match([]byte(tc.text))
		if got := string(all[0].Append([]byte("+"), wild)); !ok || got != "+"+tc.want || all[0].Swallows() {
			t.Errorf("%q for %q: got %q, %t, swallows %t; want %q", tc.rule, tc.text, got, ok, all[0].Swallows(), tc.want)
		}
	}
	if all := mustAnswers(t, "hello=>"); !all[0].Swallows() || len(all[0].Append(nil, nil)) > 0 {
		t.Error("a rule without an answer does not only swallow")
	}
}

// A message is compared in place.
func TestMatchDoesNotAllocate(t *testing.T) {
	exact, wild := mustPattern(t, strings.Repeat("x", MaxText)), mustPattern(t, "a*z")
	long, text := []byte(strings.Repeat("x", MaxText)), []byte("a message that ends in z")
	if n := testing.AllocsPerRun(100, func() {
		exact.Match(long)
		wild.Match(text)
		exact.MayMatch(long[:7])
		wild.MayMatch(text)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
