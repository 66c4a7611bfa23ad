package web_test

import (
	"io"
	"strings"
	"testing"

	"holdfast/proxy/internal/web"
)

const (
	handshake = "GET /chat?token=s3cret HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nSec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-Websocket-Version: 13\r\nUpgrade: websocket\r\n\r\n"
	ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
)

// TestUpgradeIsHandedOver: raw bytes in, and the exact head with which the
// connection is given away.
func TestUpgradeIsHandedOver(t *testing.T) {
	t.Parallel()
	tests := []struct{ why, in, head, early string }{
		{"alone", handshake, handshake, ""},
		{"with frames behind it", handshake + "\x81\x85mask", handshake, "\x81\x85mask"},
		{"with more behind it than any buffer takes", handshake + strings.Repeat("frames", 4000), handshake, strings.Repeat("frames", 4000)},
		{
			"fields are sorted, doubled ones stay doubled",
			"GET / HTTP/1.1\r\nX-B: 2\r\nupgrade: h2c, WebSocket\r\n" + host + "x-a: 1\r\nX-B: 1\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "Upgrade: h2c, WebSocket\r\nx-a: 1\r\nX-B: 2\r\nX-B: 1\r\n\r\n", "",
		},
		{
			"what is wrong with it is told by who gets it: a body by length",
			"POST / HTTP/1.1\r\n" + host + "Upgrade: websocket\r\nContent-Length: 5\r\n\r\nhello",
			"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nUpgrade: websocket\r\n\r\n", "hello",
		},
		{
			"a body by chunks",
			"GET / HTTP/1.1\r\n" + host + "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n",
		},
		{
			"absolute-form, and a target with a fragment",
			"GET http://service.example/a#b HTTP/1.1\r\nHost: other.example\r\nUpgrade: websocket\r\n\r\n",
			"GET http://service.example/a#b HTTP/1.1\r\n" + host + "Upgrade: websocket\r\n\r\n", "",
		},
		{
			"HTTP/1.0",
			"GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n",
			"GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n", "",
		},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.opens(get + test.in) // it follows at once
			upstream := r.accepts()
			upstream.wantsHead()
			upstream.sends(ok)
			client.wantsAnswer("what came first is answered first", 200)

			u := r.wantsUpgrade()
			if u.head != test.head {
				t.Errorf("handed over with\n%q\nwant\n%q", u.head, test.head)
			}
			if got := string(u.guest.Early); got != test.early {
				t.Errorf("%d bytes came with it, want %d: %.40q", len(got), len(test.early), got)
			}
			wantsLive(t, client, u.guest)
			r.wantsCounted(200)
		})
	}
}

// wantsLive wants the connection to be whole, and nobody else to read from it.
func wantsLive(t *testing.T, client *peer, g *web.Guest) {
	t.Helper()
	if _, err := io.WriteString(g.Conn, "to the client"); err != nil {
		t.Fatal(err)
	}
	client.wants("the connection lives", "to the client")
	client.sends("from the client")
	got := make([]byte, len("from the client"))
	if n, err := io.ReadFull(g.Conn, got); err != nil || string(got) != "from the client" {
		t.Errorf("the receiver wants what the client sends, got %q, %v", got[:n], err)
	}
}

// TestUpgradeFollowsLater: the connection was idle in between, and the request
// comes byte by byte.
func TestUpgradeFollowsLater(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(get)
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends(ok)
	client.wantsAnswer("the first is not an upgrade", 200)
	for i := range len(handshake) {
		client.sends(handshake[i : i+1])
	}
	u := r.wantsUpgrade()
	if u.head != handshake {
		t.Errorf("handed over with\n%q", u.head)
	}
	wantsLive(t, client, u.guest)
}
