package config

import (
	"strings"
	"testing"
)

// printed is what `holdfast env` prints of an environment.
func printed(t *testing.T, format string, environ ...string) string {
	t.Helper()
	var out strings.Builder
	all, _ := Describe(environ)
	if err := Formats[format](&out, all); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDotenvQuoting(t *testing.T) {
	for value, want := range map[string]string{
		"20s":                  "20s",
		"":                     "",
		"ws://[::1]:9000/a%2C": "ws://[::1]:9000/a%2C",
		"ws://h/$HOME":         "'ws://h/$HOME'",
		"a b":                  "'a b'",
		"it's":                 `"it's"`,
		"#":                    "'#'",
	} {
		if got := dotenvQuoted(value); got != want {
			t.Errorf("dotenvQuoted(%q) = %s, want %s", value, got, want)
		}
	}
}
