package frame

import (
	"strings"
	"testing"
)

// What is missing of a header, or of a control frame, is known from its first bytes on, and
// never too large.
func TestMissing(t *testing.T) {
	for name, w := range map[string]wire{
		"empty frame":   {first: text},
		"small frame":   {first: text, payload: "hello"},
		"16-bit length": {first: begins, length: 300},
		"64-bit length": {first: begins, length: 1 << 20},
		"ping":          {first: pings, payload: "ping"},
		"longest ping":  {first: pings, payload: strings.Repeat("p", 125)},
		"close":         {first: closes, payload: "\x03\xe8"},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.bytes(true)
			s := NewScanner(true, false)
			s.fragmented = w.first&opcode == opContinuation
			whole := len(b) // of what Scan leaves while it is not complete
			if !isControl(w.first) {
				whole -= len(w.payload)
			}
			for n := 1; n < whole; n++ {
				if r := s.Scan(b[:n], &noLimits, NoGap, new(Counts)); r != (Result{}) {
					t.Fatalf("%d bytes are not left: %+v", n, r)
				}
				missing, want := Missing(b[:n]), whole-n
				if missing != want && (n >= 2 || missing <= 0 || missing > want) {
					t.Errorf("%d bytes are missing after %d, want %d", missing, n, want)
				}
			}
			if missing := Missing(b[:whole]); missing != 0 {
				t.Errorf("%d bytes are missing, and all is there", missing)
			}
		})
	}
}
