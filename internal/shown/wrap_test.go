package shown

import (
	"strings"
	"testing"
)

func TestWrapped(t *testing.T) {
	full := strings.Repeat("ü", Width-2) // characters count, not bytes
	for text, want := range map[string]string{
		"":                         "",
		"one":                      "  one",
		" one\n two  three":        "  one two three",
		full:                       "  " + full,
		full + " a":                "  " + full + "\n  a",
		"a " + full:                "  a\n  " + full,
		full + "ü b c":             "  " + full + "ü\n  b c",
		full[:2*(Width-4)] + " a":  "  " + full[:2*(Width-4)] + " a",
		full[:2*(Width-4)] + " ab": "  " + full[:2*(Width-4)] + "\n  ab",
	} {
		if got := Wrapped(text, "  "); got != want {
			t.Errorf("Wrapped(%q) = %q, want %q", text, got, want)
		}
	}
}
