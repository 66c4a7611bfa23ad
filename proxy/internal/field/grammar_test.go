package field

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
)

func TestCutQuoted(t *testing.T) {
	for text, want := range map[string]struct {
		value, rest string
		ok          bool
	}{
		`"a"`:           {"a", "", true},
		`""x`:           {"", "x", true},
		`"a b\"c\\" ,d`: {`a b"c\`, " ,d", true},
		`"\a"`:          {"a", "", true},
		"\"\t\xff\"":    {"\t\xff", "", true},
		`a`:             {},
		``:              {},
		`"`:             {},
		`"a`:            {},
		`"a\`:           {},
		`"a\"`:          {},
		"\"a\x00\"":     {},
		"\"\\\x7f\"":    {},
	} {
		if value, rest, ok := CutQuoted(text); value != want.value || rest != want.rest || ok != want.ok {
			t.Errorf("CutQuoted(%q) = %q, %q, %t", text, value, rest, ok)
		}
	}
}

// FuzzGrammar: tokens, values and lists are what package httpguts takes them for, by
// which net/http goes. A token that was cut off is the longest. A text between quotes is
// read as it was before it was quoted.
func FuzzGrammar(f *testing.F) {
	for _, text := range []string{
		"", "X-Forwarded-For", "a_b", "a b", "a,b , c", "upgrade", "keep-alive, Upgrade", "\"quoted, \\\"string\\\"\"",
		"\t", "a\x00", "\x7f", "\xff", "\u212a", "(a)", "a=b;c", "!#$%&'*+-.^_`|~", ",,", "a\r\nb",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := IsToken(text), httpguts.ValidHeaderFieldName(text); got != want {
			t.Errorf("%q is a token: %t, for httpguts %t", text, got, want)
		}
		if got, want := IsValue(text), httpguts.ValidHeaderFieldValue(text); got != want {
			t.Errorf("%q is a value: %t, for httpguts %t", text, got, want)
		}
		token, rest := CutToken(text)
		if token+rest != text || token != "" && !IsToken(token) || rest != "" && IsToken(token+rest[:1]) {
			t.Errorf("%q is cut into %q and %q", text, token, rest)
		}
		list := Fields{{"L", text}}
		for _, want := range append(slices.Collect(list.Elements("L")), token, "upgrade") {
			if IsToken(want) && list.HasElement("L", want) != httpguts.HeaderValuesContainsToken([]string{text}, want) {
				t.Errorf("the list %q has %q, but one of field and httpguts denies it", text, want)
			}
		}
		wantUnquoted(t, text)
	})
}

func wantUnquoted(t *testing.T, text string) {
	t.Helper()
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	value, rest, ok := CutQuoted(quoted + ",x")
	if ok != IsValue(text) || ok && (value != text || rest != ",x") {
		t.Errorf("%q in quotes is read as %q, %q, %t", text, value, rest, ok)
	}
}
