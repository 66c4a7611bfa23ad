package upgrade

import (
	"errors"
	"strings"
	"testing"

	"holdfast/proxy/internal/field"
)

// answer is a right 101; extra lines stand at its end, and each swap replaces text.
func answer(extra string, swaps ...string) string {
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + testAccept + "\r\n" + extra + "\r\n"
	return strings.NewReplacer(swaps...).Replace(head)
}

// offering is the request that the answers of the tables belong to.
func offering(t testing.TB) *Offer {
	return mustOffer(t, handshake("X=Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"))
}

func TestCheckAnswer(t *testing.T) {
	const extensions = "Sec-WebSocket-Extensions"
	tests := []struct {
		why, head string
		fault     string // the field that the error names
	}{
		{"right", answer(""), ""},
		{"any case, options around", answer("", "websocket\r", "WebSocket\r", ": Upgrade\r", ": keep-alive, UPGRADE\r"), ""},
		{"bare LF, as some old servers send it", answer("", "\r\n", "\n"), ""},
		{"length of 0", answer("Content-Length: 0\r\n"), ""},
		{"an offered subprotocol", answer("Sec-WebSocket-Protocol: b\r\n"), ""},
		{"an empty subprotocol", answer("Sec-WebSocket-Protocol:\r\n"), ""},
		{"an empty extension list", answer("Sec-WebSocket-Extensions:\r\n"), ""},
		{"an accepted extension", answer("Sec-WebSocket-Extensions: permessage-deflate\r\n"), ""},
		{"HTTP/1.0, as Python's http.server has it", answer("", "HTTP/1.1", "HTTP/1.0"), ""},
		{"chunked, as all answers of some services", answer("Transfer-Encoding: chunked\r\n"), ""},
		{"a length, which a 101 cannot have", answer("Content-Length: 5\r\n"), ""},
		{"two lengths and a coding", answer("Content-Length: 0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n"), ""},
		{"an option that is not a token", answer("", ": Upgrade\r", ": Upgrade, a b\r"), ""},
		{"a subprotocol that was not offered", answer("Sec-WebSocket-Protocol: c\r\n"), ""},
		{"a subprotocol that is not a token", answer("Sec-WebSocket-Protocol: a/b=:\r\n"), ""},
		{"a whole list of subprotocols", answer("Sec-WebSocket-Protocol: a, b\r\n"), ""},
		{"a doubled subprotocol", answer("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n"), ""},
		{"a parameter that was not offered", answer("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10\r\n"), ""},
		{"a parameter that nobody knows", answer("Sec-WebSocket-Extensions: permessage-deflate; x\r\n"), ""},
		{"a window that is too small", answer("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7\r\n"), ""},
		{"a window without a value", answer("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"), ""},
		{"parameters that need no offer", answer("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; " +
			"client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=\"15\"\r\n"), ""},

		{"another status", answer("", "101", "200"), "status line"},
		{"no Upgrade", answer("", "Upgrade: websocket\r\n", ""), "Upgrade"},
		{"another Upgrade", answer("", "websocket\r", "h2c\r"), "Upgrade"},
		{"two protocols", answer("", "websocket\r", "websocket, h2c\r"), "Upgrade"},
		{"doubled Upgrade", answer("Upgrade: websocket\r\n"), "Upgrade"},
		{"no Connection", answer("", "Connection: Upgrade\r\n", ""), "Connection"},
		{"Connection: close", answer("", ": Upgrade\r", ": close\r"), "Connection"},
		{"too many options", answer("", ": Upgrade\r", ": Upgrade"+strings.Repeat(",a", field.MaxElements+1)+"\r"), "Connection"},
		{"no accept", answer("", "Sec-WebSocket-Accept: "+testAccept+"\r\n", ""), "Sec-WebSocket-Accept"},
		{"another accept", answer("", "s3pP", "S3pP"), "Sec-WebSocket-Accept"},
		{"doubled accept", answer("Sec-WebSocket-Accept: " + testAccept + "\r\n"), "Sec-WebSocket-Accept"},
		{"extension not offered", answer("Sec-WebSocket-Extensions: x-other\r\n"), extensions},
		{"two extensions", answer("Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n"), extensions},
		{"two over two fields", answer("Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: x\r\n"), extensions},
		{"extensions malformed", answer("Sec-WebSocket-Extensions: permessage-deflate;\r\n"), extensions},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			r, err := ParseResponse([]byte(tt.head))
			if err != nil {
				t.Fatal(err)
			}
			_, err = offering(t).Expects().CheckAnswer(r)
			switch {
			case tt.fault == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.fault != "" && err == nil:
				t.Error("accepted")
			case tt.fault != "" && !strings.HasPrefix(err.Error(), "invalid 101: "+tt.fault+" "):
				t.Errorf("error %q does not name %s", err, tt.fault)
			}
		})
	}
}

func TestExtensionsThatWereNotOffered(t *testing.T) {
	tests := []struct{ why, offer, answer string }{
		{"no extension offered", "", "Sec-WebSocket-Extensions: permessage-deflate\r\n"},
		{"an offer that was dropped", "Sec-WebSocket-Extensions: permessage-deflate; x\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n"},
		{"another extension offered", "Sec-WebSocket-Extensions: x\r\n", "Sec-WebSocket-Extensions: x\r\n"},
		{"an offer behind a malformed one", "Sec-WebSocket-Extensions: x;, permessage-deflate\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			r, err := ParseResponse([]byte(answer(tt.answer)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := mustOffer(t, handshake("X="+tt.offer)).Expects().CheckAnswer(r); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// LeaveOutCompression leaves nothing of the extension to be accepted.
func TestCompressionThatWasLeftOut(t *testing.T) {
	o := offering(t)
	o.LeaveOutCompression()
	if got := string(o.AppendRequest(nil, Via{})); strings.Contains(got, "Sec-WebSocket-Extensions") {
		t.Errorf("an extension is offered:\n%s", got)
	}
	r, err := ParseResponse([]byte(answer("Sec-WebSocket-Extensions: permessage-deflate\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Expects().CheckAnswer(r); err == nil {
		t.Error("an answer that compresses is accepted")
	}
}

func TestUnaskedSubprotocols(t *testing.T) {
	for _, tt := range []struct {
		asked, answered string
		want            bool
	}{
		{"X=", "", false},
		{"X=Sec-WebSocket-Protocol: a, b\r\n", "", false},
		{"X=Sec-WebSocket-Protocol: a, b\r\n", "Sec-WebSocket-Protocol:\r\n", false},
		{"X=Sec-WebSocket-Protocol: a, b\r\n", "Sec-WebSocket-Protocol: b\r\n", false},
		{"X=Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: x/y=\r\n", "Sec-WebSocket-Protocol: x/y=\r\n", false},
		{"X=", "Sec-WebSocket-Protocol: a\r\n", true},
		{"X=Sec-WebSocket-Protocol:\r\n", "Sec-WebSocket-Protocol: a\r\n", true},
		{"X=Sec-WebSocket-Protocol: a, b\r\n", "Sec-WebSocket-Protocol: A\r\n", true},
		{"X=Sec-WebSocket-Protocol: a, b\r\n", "Sec-WebSocket-Protocol: a, b\r\n", true},
		{"X=Sec-WebSocket-Protocol: a, b\r\n", "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n", true},
	} {
		r, err := ParseResponse([]byte(answer(tt.answered)))
		if err != nil {
			t.Fatal(err)
		}
		a, err := mustOffer(t, handshake(tt.asked)).Expects().CheckAnswer(r)
		if err != nil {
			t.Fatal(err)
		}
		if a.Unasked != tt.want {
			t.Errorf("%q to %q is unasked: %t, want %t", tt.answered, tt.asked, a.Unasked, tt.want)
		}
	}
}

func TestAppendResponse(t *testing.T) {
	const start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + testAccept + "\r\n"
	tests := []struct {
		why, head, want string
		deflate         bool
	}{
		{"smallest", answer(""), start + "\r\n", false},
		{"the reason is ours", answer("", "Switching Protocols", "Web Socket Protocol Handshake"), start + "\r\n", false},
		{
			"what was negotiated",
			answer("sec-websocket-extensions: permessage-deflate ;server_max_window_bits=9,\r\nsec-websocket-protocol: b\r\n"),
			start + "Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Extensions: permessage-deflate ;server_max_window_bits=9\r\n\r\n",
			true,
		},
		{
			"end-to-end fields keep order and spelling",
			answer("Server: a/1\r\nset-cookie: a=b\r\nSet-Cookie: c=d\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
			start + "Server: a/1\r\nset-cookie: a=b\r\nSet-Cookie: c=d\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n", false,
		},
		{
			"this hop's fields stay here",
			answer("Keep-Alive: 5\r\nX-Hop: a\r\nSec-WebSocket-Location: ws://a/\r\nX-End: b\r\n",
				": Upgrade\r", ": Upgrade, X-hop, Sec-WebSocket-Accept\r"),
			start + "X-End: b\r\n\r\n", false,
		},
		{"HTTP/1.0 becomes HTTP/1.1", answer("", "HTTP/1.1", "HTTP/1.0"), start + "\r\n", false},
		{"a length of 0 passes as it came", answer("A: b\r\ncontent-length: 0\r\nC: d\r\n"),
			start + "A: b\r\ncontent-length: 0\r\nC: d\r\n\r\n", false},
		{"other lengths and codings stay here",
			answer("Content-Length: 5\r\nContent-Length: 00\r\nContent_Length: 0\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\nA: b\r\n"),
			start + "A: b\r\n\r\n", false},
		{"subprotocols pass as they came", answer("sec-websocket-protocol: A, b\r\nSec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: x/y=\r\n"),
			start + "Sec-WebSocket-Protocol: A, b\r\nSec-WebSocket-Protocol: x/y=\r\n\r\n", false},
		{"parameters pass as they came", answer("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; x=\"y z\"\r\n",
			"y z", "yz"), start + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; x=\"yz\"\r\n\r\n", true},
		{"white space before a colon is removed", answer("Server : a\r\n"), start + "Server: a\r\n\r\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			r, err := ParseResponse([]byte(tt.head))
			if err != nil {
				t.Fatal(err)
			}
			a, err := offering(t).Expects().CheckAnswer(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(a.AppendResponse(nil)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if a.Deflate != tt.deflate {
				t.Errorf("deflate %t, want %t", a.Deflate, tt.deflate)
			}
		})
	}
}

func TestParseResponse(t *testing.T) {
	tests := []struct {
		why, in string
		want    error
	}{
		{"smallest", "HTTP/1.1 200 \r\n\r\n", nil},
		{"no reason and no space for it", "HTTP/1.1 200\r\n\r\n", nil},
		{"HTTP/1.0", "HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n", nil},
		{"bare LF", "HTTP/1.1 200 OK\nA: b\n\n", nil},
		{"obs-text", "HTTP/1.1 200 \xe9\r\nA: \xe9\r\n\r\n", nil},
		{"space before the colon", "HTTP/1.1 200 OK\r\nA \t: b\r\n\r\n", nil},
		{"nothing", "\r\n\r\n", errStatusLine},
		{"another protocol", "SSH-2.0-x\r\n\r\n", errStatusLine},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", errStatusLine},
		{"no minor version", "HTTP/1 200 OK here\r\n\r\n", errStatusLine},
		{"two digits", "HTTP/1.1 20 OK\r\n\r\n", errStatusLine},
		{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", errStatusLine},
		{"a signed status", "HTTP/1.1 +20 OK\r\n\r\n", errStatusLine},
		{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", errStatusRange},
		{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", errStatusLine},
		{"NUL in the reason", "HTTP/1.1 200 \x00\r\n\r\n", errStatusLine},
		{"bare CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", errStatusLine},
		{"bare CR in a value", "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", errFieldValue},
		{"NUL in a value", "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", errFieldValue},
		{"obs-fold", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", nil},
		{"obs-fold of a status line", "HTTP/1.1 200 O:K\r\n A: b\r\n\r\n", errFolded},
		{"obs-fold of a name", "HTTP/1.1 200 OK\r\nA\r\n : b\r\n\r\n", errNoColon},
		{"obs-fold after a bare CR", "HTTP/1.1 200 OK\r\nA: b\r\r\n c\r\n\r\n", errFieldValue},
		{"no colon", "HTTP/1.1 200 OK\r\nA\r\n\r\n", errNoColon},
		{"space in a name", "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n", errFieldName},
		{"cut off", "HTTP/1.1 200 OK\r\nA: b\r\n", errNoEnd},
		{"cut off in the status line", "HTTP/1.1 200 OK", errNoEnd},
		{"bytes after the blank line", "HTTP/1.1 200 OK\r\n\r\nA", errTrailing},
		{"very many fields", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 5000) + "\r\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			if _, err := ParseResponse([]byte(tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// A folded field is one line (RFC 9112 5.2), whatever it is folded with.
func TestResponseIsUnfolded(t *testing.T) {
	for _, end := range []string{"\r\n", "\n"} {
		lines := []string{"HTTP/1.1 401 No", "A: b", "\tc: d", " ", " e", "Connection :", " close,", "\tX-Hop", "Z: y", ""}
		r, err := ParseResponse([]byte(strings.Join(lines, end) + end))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct{ name, words string }{{"A", "b c: d e"}, {"Connection", "close, X-Hop"}, {"Z", "y"}} {
			if got := r.Fields[i]; got.Name != want.name || strings.Join(strings.Fields(got.Value), " ") != want.words {
				t.Errorf("field %d is %q, want %q", i, got, want)
			}
		}
	}
}

func TestResponseParts(t *testing.T) {
	r, err := ParseResponse([]byte("HTTP/1.0 503  Out of order \r\nRetry-After: 1\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != 503 || r.Minor != 0 || r.Reason != "Out of order" || r.Fields.Get("retry-after") != "1" {
		t.Errorf("parsed as %+v", r)
	}
}

func TestInterim(t *testing.T) {
	for status, want := range map[int]bool{100: true, 101: false, 102: true, 103: true, 199: true, 200: false, 404: false} {
		if got := (&Response{Status: status}).Interim(); got != want {
			t.Errorf("Interim of %d is %t", status, got)
		}
	}
}
