package upgrade

import (
	"strings"
	"testing"

	"holdfast/proxy/internal/field"
)

// canonical is the only request that goes upstream for handshake(): what a
// smuggler adds to it is refused or gone.
const canonical = "GET /chat HTTP/1.1\r\nHost: h.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: " + testKey + "\r\nSec-WebSocket-Version: 13\r\n" +
	"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h.example\r\n" +
	"Forwarded: for=192.0.2.1;host=h.example;proto=https\r\n\r\n"

// TestSmuggling has a row for each way that is known to make a proxy and what is
// behind it read one request differently. Bytes go in; a refusal or the exact
// request for the upstream comes out.
func TestSmuggling(t *testing.T) {
	const passes = 0
	rewrite := func(from, to string) string { return strings.Replace(handshake(), from, to, 1) }
	with := func(lines string) string { return handshake("X=" + lines) }
	tests := []struct {
		why, in string
		status  int
	}{
		// The upstream answers 426, the proxy takes it for a 101 and passes on what follows.
		{"WebSocket by a bad version", handshake("Sec-WebSocket-Version=Sec-WebSocket-Version: 1337\r\n"), 426},
		{"by a version of another number base", handshake("Sec-WebSocket-Version=Sec-WebSocket-Version: 0x0d\r\n"), 426},
		{"by a version with a sign", handshake("Sec-WebSocket-Version=Sec-WebSocket-Version: +13\r\n"), 426},
		{"by a version that only one of two readers sees", handshake("Sec-WebSocket-Version=Sec-WebSocket-Version: 8\r\nSec-WebSocket-Version: 13\r\n"), 426},
		{"by a version under an alias", handshake("Sec-WebSocket-Version=Sec_WebSocket_Version: 13\r\n"), 426},
		{"by no key", handshake("Sec-WebSocket-Key="), 400},
		{"by two keys", with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), 400},
		{"by a key under an alias", with("Sec_WebSocket_Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), passes},
		{"by another method", rewrite("GET", "POST"), 405},
		{"by HTTP/1.0", rewrite("HTTP/1.1", "HTTP/1.0"), 400},

		// One side upgrades, the other does not.
		{"Upgrade without Connection", handshake("Connection="), 400},
		{"Connection: close beside Upgrade", handshake("Connection=Connection: close, Upgrade\r\n"), passes},
		{"Connection without Upgrade", handshake("Upgrade="), 426},
		{"h2c", handshake("Upgrade=Upgrade: h2c\r\n", "X=HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"), 426},
		{"h2c before websocket", handshake("Upgrade=Upgrade: h2c, websocket\r\n",
			"Connection=Connection: Upgrade, HTTP2-Settings\r\n", "X=HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"), passes},
		{"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\n", 505},
		{"a tunnel", rewrite("GET /chat", "CONNECT h.example:443"), 405},

		// One side reads a body, the other frames or a second request.
		{"a body", with("Content-Length: 5\r\n"), 400},
		{"a chunked body", with("Transfer-Encoding: chunked\r\n"), 400},
		{"CL.TE and TE.CL", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
		{"TE.TE", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n"), 400},
		{"CL.CL", with("Content-Length: 0\r\nContent-Length: 5\r\n"), 400},
		{"CL.CL in one line", with("Content-Length: 0,5\r\n"), 400},
		{"CL.0 in disguise", with("Content-Length: 00\r\n"), 400},
		{"a length that wraps around to 0", with("Content-Length: 18446744073709551616\r\n"), 400},
		{"a coding behind a folded line", with("Transfer-Encoding:\r\n chunked\r\n"), 400},
		{"a coding behind a space", with("Transfer-Encoding : chunked\r\n"), 400},
		{"a coding behind a vertical tab", with("Transfer-Encoding:\x0bchunked\r\n"), 400},
		{"a coding in quotes", with("Transfer-Encoding: \"chunked\"\r\n"), 501},
		{"a coding after a bare LF", with("X: y\nTransfer-Encoding: chunked\r\n"), 400},
		{"a coding after a bare CR", with("X: y\rTransfer-Encoding: chunked\r\n"), 400},
		{"a coding under an alias", with("Transfer_Encoding: chunked\r\nContent_Length: 5\r\n"), passes},
		{"a body that is waited for", with("Expect: 100-continue\r\n"), 417},

		// One side sees a head's end where the other does not.
		{"a bare LF for a blank line", rewrite("\r\nHost", "\n\nHost"), 400},
		{"a first line that is blank, twice", "\r\n\r\n" + handshake(), 400},
		{"NUL ends a field", with("X: y\x00\r\n"), 400},
		{"a first field with a space before it", rewrite("Host", " Host"), 400},

		// One side sees another target, or another host.
		{"CRLF in the target", rewrite("/chat", "/chat\r\nX: y"), 400},
		{"LF in the target", rewrite("/chat", "/chat\n"), 400},
		{"a space in the target", rewrite("/chat", "/chat /admin"), 400},
		{"a tab for a space", rewrite("GET /chat", "GET\t/chat"), 400},
		{"a fragment in the target", rewrite("/chat", "/chat#/../admin"), 400},
		{"two Hosts", with("Host: evil.example\r\n"), 400},
		{"two Hosts in one line", handshake("Host=Host: h.example, evil.example\r\n"), 400},
		{"a Host with userinfo", handshake("Host=Host: h.example@evil.example\r\n"), 400},
		{"a Host with a space before its colon", with("Host : evil.example\r\n"), 400},
		{"a Host beside an absolute target", strings.Replace(handshake("Host=Host: evil.example\r\n"), "/chat", "ws://h.example/chat", 1), passes},

		// A field takes another's place, or takes it away.
		{"Connection names what is ours", handshake("Connection=Connection: upgrade, Host, X-Forwarded-For, X-Forwarded-Proto, Forwarded, Sec-WebSocket-Key\r\n"), passes},
		{"Connection names a field of the client's", handshake("Connection=Connection: upgrade, Authorization\r\n", "X=Authorization: Basic eDp5\r\n"), passes},
		{"Connection names more than is compared", handshake("Connection=Connection: upgrade" + strings.Repeat(", x", field.MaxElements+1) + "\r\n"), 400},
		{"fields for this hop", with("Keep-Alive: 5\r\nProxy-Connection: a\r\nProxy-Authorization: a\r\nTE: trailers\r\nTrailer: Host\r\n"), passes},
		{"forwarding fields", with("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n"), passes},
		{"forwarding fields under aliases", with("X_Forwarded_For: 6.6.6.6\r\nx-forwarded_host: a\r\n"), passes},
		{"two Origins", with("Origin: https://h.example\r\nOrigin: https://evil.example\r\n"), 400},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			end := HeadEnd([]byte(tt.in), 0)
			if end < 0 {
				t.Fatal("the head is not whole")
			}
			o, refusal := check(tt.in[:end])
			wantStatus(t, refusal, tt.status)
			if o == nil {
				return
			}
			if got := string(o.AppendRequest(nil, testVia)); got != canonical {
				t.Errorf("got\n%s\nwant\n%s", got, canonical)
			}
		})
	}
}

func check(head string) (*Offer, *Refusal) {
	r, refusal := ParseRequest([]byte(head))
	if refusal != nil {
		return nil, refusal
	}
	return r.Check()
}
