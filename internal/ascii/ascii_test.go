package ascii

import (
	"strings"
	"testing"
)

// Each byte is compared with the letters and digits as they are written.
func TestEveryByte(t *testing.T) {
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		b := byte(c)
		for _, class := range []struct {
			name string
			is   func(byte) bool
			all  string
		}{
			{"IsDigit", IsDigit, digits},
			{"IsLetter", IsLetter, letters},
			{"IsHex", IsHex, digits + "abcdefABCDEF"},
		} {
			if got, want := class.is(b), strings.IndexByte(class.all, b) >= 0; got != want {
				t.Errorf("%s(%q) = %t, want %t", class.name, b, got, want)
			}
		}
		want := b
		if b < 0x80 {
			want = strings.ToLower(string(rune(b)))[0]
		}
		if got := Lower(b); got != want {
			t.Errorf("Lower(%q) = %q, want %q", b, got, want)
		}
	}
}

func TestIsDigits(t *testing.T) {
	for s, want := range map[string]bool{"0": true, "0123456789": true, "": false, "1a": false, "+1": false, " 1": false, "٣": false} {
		if got := IsDigits(s); got != want {
			t.Errorf("IsDigits(%q) = %t, want %t", s, got, want)
		}
	}
}

func TestEqualFold(t *testing.T) {
	if !EqualFold("WebSocket", "wEBsOCKET") {
		t.Error("case must not matter")
	}
	if EqualFold("webso\u212aet", "websokeT") || EqualFold("@", "`") {
		t.Error("only letters of ASCII have a case")
	}
}
