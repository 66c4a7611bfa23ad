package shown

import (
	"strings"
	"testing"
)

func TestQuoted(t *testing.T) {
	for value, want := range map[string]string{
		"":                            `""`,
		"plain":                       `"plain"`,
		"\x1b[31m\n\"\xff":            `"\x1b[31m\n\"\xff"`,
		"ws://user:s3cret@host/a":     `"ws://…@host/a"`,
		"user:s3/cret@host":           `"…@host"`,
		"ws://host/?token=s3cret":     `"ws://host/?…"`,
		"ws://host/#s3cret":           `"ws://host/#…"`,
		strings.Repeat("x", Max):      `"` + strings.Repeat("x", Max) + `"`,
		strings.Repeat("x", Max+1):    `"` + strings.Repeat("x", Max) + `…"`,
		"x" + strings.Repeat("ü", 99): `"x` + strings.Repeat("ü", Max/2-1) + `…"`,
		strings.Repeat("\x8a", 99):    `"` + strings.Repeat(`\x8a`, Max) + `…"`,
	} {
		if got := Quoted(value); got != want {
			t.Errorf("Quoted(%q) = %s, want %s", value, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for name, want := range map[string]string{
		"HOLDFAST_\x1b[2J":      `HOLDFAST_\x1b[2J`,
		"a \"b\"\n\\\xff":       `a "b"\n\\\xff`,
		strings.Repeat("x", 99): strings.Repeat("x", Max) + "…",
	} {
		if got := Printable(name); got != want {
			t.Errorf("Printable(%q) = %s, want %s", name, got, want)
		}
	}
}
