package upgrade

import "testing"

// browserHead is what a Chromium browser sends from a page with a session cookie.
const browserHead = "GET /socket?room=42 HTTP/1.1\r\n" +
	"Host: chat.example.com\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://chat.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r\n" +
	"Sec-WebSocket-Key: " + testKey + "\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"Sec-WebSocket-Protocol: graphql-transport-ws\r\n" +
	"\r\n"

const serverHead = "HTTP/1.1 101 Switching Protocols\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: " + testAccept + "\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate\r\n" +
	"Sec-WebSocket-Protocol: graphql-transport-ws\r\n" +
	"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" +
	"\r\n"

// forward takes a request head the whole way.
func forward(t testing.TB, dst, head []byte) (*Expected, []byte) {
	end := HeadEnd(head, 0)
	r, refusal := ParseRequest(head[:end])
	if refusal != nil {
		t.Fatal(refusal.Reason)
	}
	o, refusal := r.Check()
	if refusal != nil {
		t.Fatal(refusal.Reason)
	}
	return o.Expects(), o.AppendRequest(dst, testVia)
}

// back takes a response head the whole way.
func back(t testing.TB, e *Expected, dst, head []byte) []byte {
	r, err := ParseResponse(head[:HeadEnd(head, 0)])
	if err != nil {
		t.Fatal(err)
	}
	a, err := e.CheckAnswer(r)
	if err != nil {
		t.Fatal(err)
	}
	return a.AppendResponse(dst)
}

func BenchmarkRequest(b *testing.B) {
	head, dst := []byte(browserHead), make([]byte, 0, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		forward(b, dst, head)
	}
}

func BenchmarkResponse(b *testing.B) {
	head, dst := []byte(serverHead), make([]byte, 0, 4096)
	e, _ := forward(b, dst, []byte(browserHead))
	b.ReportAllocs()
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		back(b, e, dst, head)
	}
}

// TestHandshakeAllocations pins what a handshake costs: a head's string, its
// fields, the Request, the Offer and its list, and what is expected of the answer,
// with a list and its one element; then the same of the answer.
func TestHandshakeAllocations(t *testing.T) {
	request, response, dst := []byte(browserHead), []byte(serverHead), make([]byte, 0, 4096)
	e, _ := forward(t, dst, request)
	if n := testing.AllocsPerRun(100, func() { forward(t, dst, request) }); n > 8 {
		t.Errorf("a request costs %v allocations, want at most 8", n)
	}
	if n := testing.AllocsPerRun(100, func() { back(t, e, dst, response) }); n > 4 {
		t.Errorf("a response costs %v allocations, want at most 4", n)
	}
}
