package web

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/proxy/internal/field"
)

// pieces is a connection that brings its bytes by one read each of these.
type pieces struct {
	net.Conn
	io.Reader
}

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b) }

// TestHeads: what the upstream sends, and what net/http reads of it, however the
// bytes come.
func TestHeads(t *testing.T) {
	const limit = 200
	for _, tc := range []struct{ why, sent, read string }{
		{"as it is", "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nbody", "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nbody"},
		{"white space before a colon", "HTTP/1.1 200 OK\r\nX-A \t: b : c\r\n\r\nX-A : b\r\n\r\n", "HTTP/1.1 200 OK\r\nX-A: b : c\r\n\r\nX-A : b\r\n\r\n"},
		{"what Connection names beside close", "HTTP/1.0 200\r\nconnection: Close, X-A\r\n\r\n", "HTTP/1.0 200 \r\nConnection: X-A\r\n\r\n"},
		{"after interim answers", "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 Hints\nA :b\n\nHTTP/1.1 200 OK\r\nA :b\r\n\r\nA :b", "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nA :b"},
		{"101 is final", "HTTP/1.1 101 \r\n\r\nHTTP/1.1 200 OK\r\nA :b\r\n\r\n", "HTTP/1.1 101 \r\n\r\nHTTP/1.1 200 OK\r\nA :b\r\n\r\n"},
		{"folded", "HTTP/1.1 200 OK\r\nA : b\r\n c\r\nConnection: close,\n\tX-A\r\n\r\nbody\n ", "HTTP/1.1 200 OK\r\nA: b   c\r\nConnection: X-A\r\n\r\nbody\n "},
		{"nothing", "", ""},
	} {
		for name, from := range map[string]io.Reader{
			"at once":      strings.NewReader(tc.sent),
			"in bytes":     iotest.OneByteReader(strings.NewReader(tc.sent)),
			"with the end": iotest.DataErrReader(strings.NewReader(tc.sent)),
		} {
			got, err := io.ReadAll(&heads{Conn: pieces{Reader: from}, limit: limit, spells: func(field.Fields) {}})
			if err != nil || string(got) != tc.read {
				t.Errorf("%s, %s: read %.300q, %v, want %.300q", tc.why, name, got, err, tc.read)
			}
		}
		for at := range len(tc.sent) {
			from := io.MultiReader(strings.NewReader(tc.sent[:at]), strings.NewReader(tc.sent[at:]))
			got, err := io.ReadAll(&heads{Conn: pieces{Reader: from}, limit: limit, spells: func(field.Fields) {}})
			if err != nil || string(got) != tc.read {
				t.Errorf("%s, split at %d: read %.300q, %v, want %.300q", tc.why, at, got, err, tc.read)
			}
		}
	}
}

// TestHeadsThatAreRefused: no byte of such a head is read, nor of what follows it.
func TestHeadsThatAreRefused(t *testing.T) {
	const limit = 200
	const interim = "HTTP/1.1 103 Hints\r\n\r\n"
	for _, tc := range []struct{ why, sent, err string }{
		{"a name that is none", "HTTP/1.1 200 OK\r\nX Y: a\r\nConnection: close, X-A\r\nX-A: b\r\n\r\nbody", "malformed response: a field name is not a token"},
		{"a control character", "HTTP/1.1 200 OK\r\nX: a\x00\r\n\r\nbody", "malformed response: a field value has a control character"},
		{"no HTTP", "SSH-2.0\r\n\r\nbody", "malformed response: the status line is not HTTP/1.x and a status"},
		{"too long", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", limit) + "\r\n\r\nbody", errAnswerHead.Error()},
		{"no HTTP, and no line's end", "SSH-2.0", "malformed response: the status line is not HTTP/1.x and a status"},
		{"TLS", "\x15\x03\x01", "malformed response: it is TLS; write wss:// or https:// in HOLDFAST_UPSTREAM"},
		{"too long, without an end", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", limit), errAnswerHead.Error()},
		{"broken off", "HTTP/1.1 200 OK\r\nA : b", io.ErrUnexpectedEOF.Error()},
	} {
		for _, before := range []string{"", interim} {
			for at := range len(tc.sent) {
				from := io.MultiReader(strings.NewReader(before+tc.sent[:at]), strings.NewReader(tc.sent[at:]))
				got, err := io.ReadAll(&heads{Conn: pieces{Reader: from}, limit: limit, spells: func(field.Fields) {}})
				if err == nil || err.Error() != tc.err || string(got) != before {
					t.Fatalf("%s, split at %d: read %.300q, %v, want %q, %s", tc.why, at, got, err, before, tc.err)
				}
			}
		}
	}
}
