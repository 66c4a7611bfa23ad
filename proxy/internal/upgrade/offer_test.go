package upgrade

import (
	"strings"
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy/internal/field"
)

// The key and its accept are the example of RFC 6455 1.3.
const (
	testKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	testAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// testVia is what the proxy says of most requests here.
var testVia = Via{Fields: field.Fields{
	{Name: "X-Forwarded-For", Value: "192.0.2.1"},
	{Name: "X-Forwarded-Proto", Value: "https"},
	{Name: "X-Forwarded-Host", Value: "h.example"},
	{Name: "Forwarded", Value: "for=192.0.2.1;host=h.example;proto=https"},
}}

// handshake is a right request head. Each edit takes the field it names out and
// puts its own lines, if any, in: "Host=", "Origin=Origin: a\r\n".
func handshake(edits ...string) string {
	lines := []string{
		"Host: h.example\r\n",
		"Upgrade: websocket\r\n",
		"Connection: Upgrade\r\n",
		"Sec-WebSocket-Version: 13\r\n",
		"Sec-WebSocket-Key: " + testKey + "\r\n",
	}
	for _, edit := range edits {
		name, text, _ := strings.Cut(edit, "=")
		kept := lines[:0]
		for _, line := range lines {
			if !strings.HasPrefix(line, name+":") {
				kept = append(kept, line)
			}
		}
		lines = append(kept, text)
	}
	return "GET /chat HTTP/1.1\r\n" + strings.Join(lines, "") + "\r\n"
}

func mustParse(t testing.TB, head string) *Request {
	t.Helper()
	r, refusal := ParseRequest([]byte(head))
	if refusal != nil {
		t.Fatalf("refused: %d %s", refusal.Status, refusal.Reason)
	}
	return r
}

func mustOffer(t testing.TB, head string) *Offer {
	t.Helper()
	o, refusal := mustParse(t, head).Check()
	if refusal != nil {
		t.Fatalf("refused: %d %s", refusal.Status, refusal.Reason)
	}
	return o
}

func TestCheck(t *testing.T) {
	const ok = 0
	tests := []struct {
		why  string
		head string
		want int
	}{
		{"right", handshake(), ok},
		{"POST", strings.Replace(handshake(), "GET", "POST", 1), 405},
		{"method before all other fields", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"HTTP/1.0", strings.Replace(handshake(), "HTTP/1.1", "HTTP/1.0", 1), 400},
		{"HTTP/1.0 before the method", "POST / HTTP/1.0\r\n\r\n", 400},
		{"the server as a whole is not a resource", strings.Replace(handshake(), "GET /chat", "OPTIONS *", 1), 400},

		{"no Upgrade", handshake("Upgrade="), 426},
		{"another Upgrade", handshake("Upgrade=Upgrade: h2c\r\n"), 426},
		{"not quite websocket", handshake("Upgrade=Upgrade: websocket2\r\n"), 426},
		{"a Kelvin sign", handshake("Upgrade=Upgrade: webso\u212aet\r\n"), 426},
		{"Upgrade in any case", handshake("Upgrade=Upgrade: WebSocket\r\n"), ok},
		{"Upgrade among others", handshake("Upgrade=Upgrade: h2c, websocket\r\n"), ok},
		{"Upgrade in the second field", handshake("Upgrade=Upgrade: h2c\r\nupgrade: websocket\r\n"), ok},

		{"no Connection", handshake("Connection="), 400},
		{"Connection: close", handshake("Connection=Connection: close\r\n"), 400},
		{"Connection as Firefox has it", handshake("Connection=Connection: keep-alive, Upgrade\r\n"), ok},
		{"Connection in the second field", handshake("Connection=Connection: keep-alive\r\nConnection: upgrade\r\n"), ok},
		{"an option that is not a token", handshake("Connection=Connection: Upgrade, a b\r\n"), ok},
		{"Upgrade is part of an option", handshake("Connection=Connection: Upgrade; a\r\n"), 400},
		{"Connection too long", handshake("Connection=Connection: Upgrade" + strings.Repeat(",a", field.MaxElements+1) + "\r\n"), 400},

		{"no version", handshake("Sec-WebSocket-Version="), 426},
		{"wrong version", handshake("Sec-WebSocket-Version=Sec-WebSocket-Version: 777\r\n"), 426},
		{"hybi version", handshake("Sec-WebSocket-Version=Sec-WebSocket-Version: 8\r\n"), 426},
		{"two versions in one", handshake("Sec-WebSocket-Version=Sec-WebSocket-Version: 13, 8\r\n"), 426},
		{"doubled version", handshake("X=Sec-WebSocket-Version: 13\r\n"), 426},

		{"no key", handshake("Sec-WebSocket-Key="), 400},
		{"doubled key", handshake("X=Sec-WebSocket-Key: " + testKey + "\r\n"), 400},
		{"an empty key", handshake("Sec-WebSocket-Key=Sec-WebSocket-Key:\r\n"), 400},
		{"two keys, joined by a proxy", handshake("Sec-WebSocket-Key=Sec-WebSocket-Key: " + testKey + ", " + testKey + "\r\n"), 400},
		{"key of 15 bytes", handshake("Sec-WebSocket-Key=Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"), ok},
		{"key of 17 bytes", handshake("Sec-WebSocket-Key=Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWE=\r\n"), ok},
		{"key without padding", handshake("Sec-WebSocket-Key=Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"), ok},
		{"key in URL base64", handshake("Sec-WebSocket-Key=Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j-_==\r\n"), ok},
		{"key that is not base64", handshake("Sec-WebSocket-Key=Sec-WebSocket-Key: charger no. 5\r\n"), ok},

		{"chunked body", handshake("X=Transfer-Encoding: chunked\r\n"), 400},
		{"body", handshake("X=Content-Length: 5\r\n"), 400},
		{"body of 0", handshake("X=Content-Length: 0\r\n"), ok},
		{"body of 00", handshake("X=Content-Length: 00\r\n"), 400},
		{"Expect", handshake("X=Expect: 100-continue\r\n"), 417},
		{"Origin", handshake("X=Origin: https://a.example\r\n"), ok},
		{"two Origins", handshake("X=Origin: https://a.example\r\nOrigin: https://b.example\r\n"), 400},

		{"subprotocols", handshake("X=Sec-WebSocket-Protocol: a, ,b,\r\nSec-WebSocket-Protocol: A\r\n"), ok},
		{"no subprotocol after all", handshake("X=Sec-WebSocket-Protocol:\r\n"), ok},
		{"subprotocol that is not a token", handshake("X=Sec-WebSocket-Protocol: a b, https://c.example/d?e=f, eyJhbGciOiJub25lIn0=.e30=\r\n"), ok},
		{"subprotocol with a control character", handshake("X=Sec-WebSocket-Protocol: a\x01\r\n"), 400},
		{"subprotocol doubled", handshake("X=Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, a\r\n"), ok},
		{"very many subprotocols", handshake("X=Sec-WebSocket-Protocol: " + strings.Repeat("p,", 10_000) + "\r\n"), ok},
		{"very many fields", handshake("X=" + strings.Repeat("A: b\r\n", 5000)), ok},
		{"extensions malformed", handshake("X=Sec-WebSocket-Extensions: a;\r\n"), ok},
		{"extension unknown", handshake("X=Sec-WebSocket-Extensions: a; b=\"c\"\r\n"), ok},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			_, refusal := check(tt.head)
			wantStatus(t, refusal, tt.want)
		})
	}
}

// The upstream gets the key as it came, and its answer is checked against that.
func TestKeysPassAsTheyCame(t *testing.T) {
	for _, key := range []string{testKey, "1", "charger no. 5", strings.Repeat("k", 2000)} {
		o := mustOffer(t, handshake("Sec-WebSocket-Key=Sec-WebSocket-Key: "+key+"\r\n"))
		if got := string(o.AppendRequest(nil, Via{})); !strings.Contains(got, "\r\nSec-WebSocket-Key: "+key+"\r\n") {
			t.Errorf("the upstream gets\n%s\nwithout the key %q", got, key)
		}
		r, err := ParseResponse([]byte(answer("", testAccept, wire.Accept(key))))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Expects().CheckAnswer(r); err != nil {
			t.Errorf("the answer to the key %.20q: %v", key, err)
		}
	}
}

func TestRefusalsSayWhatWouldBeRight(t *testing.T) {
	tests := []struct{ head, name, value string }{
		{"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "Allow", "GET"},
		{handshake("Upgrade="), "Upgrade", "websocket"},
		{handshake("Sec-WebSocket-Version="), "Sec-WebSocket-Version", "13"},
		{handshake("Sec-WebSocket-Version="), "Upgrade", "websocket"},
	}
	for _, tt := range tests {
		_, refusal := mustParse(t, tt.head).Check()
		if got := refusal.Header.Get(tt.name); got != tt.value {
			t.Errorf("%d has %s: %q, want %q", refusal.Status, tt.name, got, tt.value)
		}
	}
}

func TestAppendRequest(t *testing.T) {
	const start = "GET /chat HTTP/1.1\r\nHost: h.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + testKey + "\r\nSec-WebSocket-Version: 13\r\n"
	const end = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h.example\r\n" +
		"Forwarded: for=192.0.2.1;host=h.example;proto=https\r\n\r\n"
	tests := []struct {
		why, head, want string
	}{
		{"smallest", handshake(), start + end},
		{
			"end-to-end fields keep order and spelling",
			handshake("X=COOKIE: a=b\r\nOrigin: https://a.example\r\nauthorization: Basic eDp5\r\nCookie: c=\xff\r\nA_B: c\r\n"),
			start + "COOKIE: a=b\r\nOrigin: https://a.example\r\nauthorization: Basic eDp5\r\nCookie: c=\xff\r\nA_B: c\r\n" + end,
		},
		{
			"subprotocols pass as they came",
			handshake("X=sec-websocket-protocol: b,,a\r\nSec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: a, x/y:=\r\n"),
			start + "Sec-WebSocket-Protocol: b,,a\r\nSec-WebSocket-Protocol: a, x/y:=\r\n" + end,
		},
		{
			"a malformed offer is left out, and what follows it",
			handshake("X=Sec-WebSocket-Extensions: permessage-deflate, a;, permessage-deflate; client_max_window_bits\r\n"),
			start + "Sec-WebSocket-Extensions: permessage-deflate\r\n" + end,
		},
		{
			"offers of compression are gathered",
			handshake("X=Sec-WebSocket-Extensions: x-old, permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"),
			start + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate\r\n" + end,
		},
		{
			"hop-by-hop fields stay here",
			handshake("X=Keep-Alive: 5\r\nProxy-Connection: a\r\nProxy-Authorization: a\r\nProxy-Authenticate: a\r\n" +
				"TE: trailers\r\nTrailer: a\r\nContent-Length: 0\r\nHTTP2-Settings: a\r\n"),
			start + end,
		},
		{
			"what Connection names stays here, too",
			handshake("Connection=Connection: Upgrade, cookie\r\nConnection: X-a\r\n", "X=Cookie: a=b\r\nx-A: b\r\nX-B: c\r\n"),
			start + "X-B: c\r\n" + end,
		},
		{
			"Connection cannot take away what is ours to say",
			handshake("Connection=Connection: upgrade, Host, Sec-WebSocket-Key, Sec-WebSocket-Version, Sec-WebSocket-Protocol, X-Forwarded-For\r\n",
				"X=Sec-WebSocket-Protocol: a\r\n"),
			start + "Sec-WebSocket-Protocol: a\r\n" + end,
		},
		{
			"forwarding fields are replaced",
			handshake("X=X-Forwarded-For: 203.0.113.9\r\nx-forwarded-proto: http\r\nX-Forwarded-Host: b.example\r\n" +
				"X-Forwarded-Port: 1\r\nForwarded: for=203.0.113.9\r\n"),
			start + end,
		},
		{
			"underscores do not help",
			handshake("X=X_Forwarded_For: 203.0.113.9\r\nX-Forwarded_Proto: http\r\nSec_WebSocket_Protocol: a\r\n" +
				"sec_websocket_key: a\r\nTransfer_Encoding: chunked\r\nContent_Length: 5\r\nProxy_Authorization: a\r\n"),
			start + end,
		},
		{
			"fields of old drafts and of answers are dropped",
			handshake("X=Sec-WebSocket-Key1: a\r\nSec-WebSocket-Origin: a\r\nSec-WebSocket-Accept: a\r\n"),
			start + end,
		},
		{
			"the authority of an absolute target is the Host",
			strings.Replace(handshake("Host=Host: other.example\r\n"), "/chat", "http://h.example/chat", 1),
			start + end,
		},
		{
			"h2c is not passed on",
			handshake("Upgrade=Upgrade: h2c, WebSocket\r\n", "Connection=Connection: Upgrade, HTTP2-Settings\r\n", "X=HTTP2-Settings: AAMA\r\n"),
			start + end,
		},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			got := mustOffer(t, tt.head).AppendRequest(nil, testVia)
			if string(got) != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestVia(t *testing.T) {
	const start = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + testKey + "\r\nSec-WebSocket-Version: 13\r\n"
	const line, host = "GET /chat HTTP/1.1\r\n", "Host: h.example\r\n"
	tests := []struct {
		why, head string
		via       Via
		want      string
	}{
		{"nothing to say", handshake(), Via{}, line + host + start},
		{"a prefix", strings.Replace(handshake(), "/chat", "/chat/%2e?q=/a%20b", 1), Via{Prefix: "/legacy"},
			"GET /legacy/chat/%2e?q=/a%20b HTTP/1.1\r\n" + host + start},
		{"a prefix that is all", strings.Replace(handshake(), "/chat", "/?q=/", 1), Via{Prefix: "/legacy"},
			"GET /legacy?q=/ HTTP/1.1\r\n" + host + start},
		{"another Host", handshake(), Via{Host: "u.example:81"}, line + "Host: u.example:81\r\n" + start},
		{
			"where we say nothing, the client still cannot",
			handshake("X=X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: a\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Port: 1\r\n"),
			Via{}, line + host + start,
		},
		{
			"a trusted proxy says the rest itself",
			handshake("X=X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: a\r\nForwarded: for=6.6.6.6\r\n" +
				"x-forwarded-port: 1\r\nX-Forwarded-Prefix: /a\r\n"),
			Via{Believed: true}, line + host + start + "x-forwarded-port: 1\r\nX-Forwarded-Prefix: /a\r\n",
		},
		{
			"but not with underscores",
			handshake("X=X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: a\r\nX_Forwarded_Port: 1\r\nX-Forwarded-Client_IP: 6.6.6.6\r\n"),
			Via{Believed: true}, line + host + start,
		},
		{
			"a client cannot say what is ours",
			handshake("Connection=Connection: upgrade, x-api-key\r\n", "X=x-API-key: guess\r\nX_Api_Key: guess\r\nX-Api-Keys: b\r\nX-Api: c\r\n"),
			Via{Fields: field.Fields{{Name: "X-Api-Key", Value: "a"}}}, line + host + start + "X-Api-Keys: b\r\nX-Api: c\r\nX-Api-Key: a\r\n",
		},
		{
			"of ours the last counts",
			handshake(),
			Via{Fields: field.Fields{{Name: "X-Forwarded-Proto", Value: "http"}, {Name: "X-A", Value: "b"}, {Name: "x-forwarded-proto", Value: "https"}}},
			line + host + start + "X-A: b\r\nx-forwarded-proto: https\r\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			got := string(mustOffer(t, tt.head).AppendRequest([]byte("kept "), tt.via))
			if want := "kept " + tt.want + "\r\n"; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
