package upgrade

import "testing"

func TestHeadEnd(t *testing.T) {
	tests := []struct {
		why, in string
		want    int // -1: not whole
	}{
		{"nothing yet", "", -1},
		{"no blank line yet", "GET / HTTP/1.1\r\nHost: a\r\n", -1},
		{"half a blank line", "GET / HTTP/1.1\r\nHost: a\r\n\r", -1},
		{"whole", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27},
		{"what follows is not looked at", "GET / HTTP/1.1\r\n\r\n\x81\x80\r\n\r\n", 18},
		{"one leading empty line is part of the head", "\r\nGET / HTTP/1.1\r\n\r\n", 20},
		{"two are a head, for ParseRequest to refuse", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", 4},
		{"a bare LF ends a line", "HTTP/1.1 101\nA: b\n\n", 19},
		{"a bare LF before a right blank line", "HTTP/1.1 101\n\r\n\r\n", 15},
		{"a bare CR ends none", "GET / HTTP/1.1\r\rHost: a\r\r", -1},
		{"CR CR LF is not a blank line", "GET / HTTP/1.1\r\n\r\r\n", -1},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			b := []byte(tt.in)
			if got := HeadEnd(b, 0); got != tt.want {
				t.Fatalf("HeadEnd(%q) = %d, want %d", b, got, tt.want)
			}
			for split := range b {
				got := HeadEnd(b[:split], 0)
				if got < 0 {
					got = HeadEnd(b, split)
				}
				if got != tt.want {
					t.Errorf("split at %d: %d, want %d", split, got, tt.want)
				}
			}
		})
	}
}
