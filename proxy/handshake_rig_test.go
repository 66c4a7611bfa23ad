package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

// scheme is how a rig's clients come.
func scheme(r *rig) string {
	if r.tls.client {
		return "https"
	}
	return "http"
}

// smuggled follows a request that is refused: no upstream may ever see it.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: service.example\r\n\r\n"

func TestHandshakeIsRebuilt(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.dials(), (*peer)(nil)
	client.sendsString(wire.Request(
		"Origin: https://app.example",
		"Cookie: a=1",
		"Authorization: Bearer xyz",
		"User-Agent: test",
		"Sec-WebSocket-Protocol: chat, superchat",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame",
		"X-Forwarded-For: 203.0.113.9",
		"X-Forwarded-Proto: https",
		"Connection: X-Hop",
		"X-Hop: secret",
		"Keep-Alive: timeout=5",
		"Proxy-Authorization: Basic eA==",
		"TE: trailers",
	))
	upstream = r.accepts()
	raw := upstream.wantsHead()
	got, err := wire.ParseRequest(raw)
	if err != nil {
		t.Fatalf("the upstream got no request: %v: %q", err, raw)
	}
	if !strings.HasPrefix(raw, "GET /chat?token=s3cret HTTP/1.1\r\n") || got.Host != "service.example" {
		t.Errorf("the target or the Host was changed: %q", raw)
	}
	for name, want := range map[string]string{
		"Origin":                 "https://app.example",
		"Cookie":                 "a=1",
		"Authorization":          "Bearer xyz",
		"User-Agent":             "test",
		"Upgrade":                "websocket",
		"Connection":             "Upgrade",
		"Sec-Websocket-Version":  "13",
		"Sec-Websocket-Protocol": "chat, superchat",
		"X-Forwarded-For":        "127.0.0.1",
		"X-Forwarded-Proto":      scheme(r),
		"X-Hop":                  "",
		"Keep-Alive":             "",
		"Proxy-Authorization":    "",
		"Te":                     "",
	} {
		if values := got.Header.Values(name); strings.Join(values, ", ") != want {
			t.Errorf("the upstream got %s: %q, want %q", name, values, want)
		}
	}
	if e := got.Header.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(e, "permessage-deflate") || strings.Contains(e, "webkit") {
		t.Errorf("only permessage-deflate is offered upstream, got %q", e)
	}

	upstream.sendsString(wire.Answer(got,
		"Sec-WebSocket-Protocol: superchat",
		"Sec-WebSocket-Extensions: permessage-deflate",
		"Set-Cookie: b=2", "Set-Cookie: c=3",
		"Keep-Alive: timeout=5",
	))
	h := client.wantsSwitch().Header
	if h.Get("Sec-WebSocket-Protocol") != "superchat" || h.Get("Sec-WebSocket-Extensions") != "permessage-deflate" {
		t.Errorf("the client did not get what was negotiated: %v", h)
	}
	if len(h.Values("Set-Cookie")) != 2 || h.Get("Keep-Alive") != "" {
		t.Errorf("the client's 101 has the wrong fields: %v", h)
	}
	r.wantsCounts(counts{"ok": 1, "opened": 1, "active": 1})
}

func TestUpstreamPathIsAPrefix(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ prefix, target, want string }{
		{"/legacy", "/chat?token=s3cret", "/legacy/chat?token=s3cret"},
		{"/legacy", "/", "/legacy"},
		{"/legacy", "/?token=s3cret", "/legacy?token=s3cret"},
		{"/legacy/", "/", "/legacy/"},
	} {
		r := newRig(t, func(cfg *proxy.Config) { cfg.Upstream.Path = test.prefix })
		r.dials().sendsString(strings.Replace(wire.Request(), "/chat?token=s3cret", test.target, 1))
		if got := r.accepts().wantsRequest().RequestURI; got != test.want {
			t.Errorf("behind %s the request for %s became %q, want %q", test.prefix, test.target, got, test.want)
		}
	}
}

func TestHandshakeRefusedHere(t *testing.T) {
	t.Parallel()
	without := func(field string) string {
		var kept []string
		for _, line := range strings.Split(wire.Request(), "\r\n") {
			if !strings.HasPrefix(line, field) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\r\n")
	}
	instead := func(was, is string) string { return strings.Replace(wire.Request(), was, is, 1) }
	tests := []struct {
		name, head string
		statuses   []int
	}{
		{"POST", instead("GET", "POST"), []int{405}},
		{"no Upgrade", without("Upgrade:"), []int{426}},
		{"no Connection", without("Connection:"), []int{400, 426}},
		{"no version", without("Sec-WebSocket-Version:"), []int{426}},
		{"version 8", instead("Version: 13", "Version: 8"), []int{426}},
		{"no key", without("Sec-WebSocket-Key:"), []int{400}},
		{"short key", instead(wire.Key, "c2hvcnQ="), []int{400}},
		{"key that is no base64", instead(wire.Key, strings.Repeat("!", 24)), []int{400}},
		{"two keys", wire.Request("Sec-WebSocket-Key: " + wire.Key), []int{400}},
		{"no Host", without("Host:"), []int{400}},
		{"two Hosts", wire.Request("Host: other.example"), []int{400}},
		{"Host with a path", instead("service.example", "service.example/x"), []int{400}},
		{"white space before the colon", wire.Request("X-A : b"), []int{400}},
		{"folded field", wire.Request("X-A: b", " c"), []int{400}},
		{"bare CR", wire.Request("X-A: b\rX-B: c"), []int{400}},
		{"bare LF", wire.Request("X-A: b\nX-B: c"), []int{400}},
		{"NUL", wire.Request("X-A: b\x00"), []int{400}},
		{"field without a colon", wire.Request("X-A"), []int{400}},
		{"no HTTP", "hello\r\n\r\n", []int{400}},
		{"HTTP/1.0", instead("HTTP/1.1", "HTTP/1.0"), []int{400, 426, 505}},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 505}},
		{"body by length", wire.Request(fmt.Sprintf("Content-Length: %d", len(smuggled))), []int{400}},
		{"body by chunks", wire.Request("Transfer-Encoding: chunked") + "0\r\n\r\n", []int{400}},
		{"two framings", wire.Request("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", []int{400}},
		{"two lengths", wire.Request("Content-Length: 0", "Content-Length: 5"), []int{400}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) { cfg.RefuseHTTP = true })
			client := r.dials()
			client.sendsString(test.head + smuggled)
			resp, _ := client.wantsRefusal("the head is wrong", test.statuses...)
			switch resp.StatusCode {
			case http.StatusUpgradeRequired:
				if resp.Header.Get("Upgrade") != "websocket" {
					t.Errorf("a 426 says what to upgrade to (RFC 9110 15.5.22), got %v", resp.Header)
				}
				if strings.Contains(test.name, "version") && resp.Header.Get("Sec-WebSocket-Version") != "13" {
					t.Errorf("it says what version is spoken (RFC 6455 4.4), got %v", resp.Header)
				}
			case http.StatusMethodNotAllowed:
				if resp.Header.Get("Allow") != http.MethodGet {
					t.Errorf("a 405 says what is allowed (RFC 9110 15.5.6), got %v", resp.Header)
				}
			}
			client.hangsUp()
			r.wantsNoSessions()
			r.wantsCounts(counts{"bad_request": 1})
			r.wantsNoDial("the request was refused")
		})
	}
}

// A refusal must survive what the client still sends: a close with unread input
// would send a RST that can overtake the answer.
func TestRefusalReachesATalkativeClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.dials()
	client.sendsString(strings.Replace(wire.Request(), "GET", "POST", 1) + strings.Repeat(smuggled, 2000))
	client.wantsRefusal("POST", 405)
	client.hangsUp()
	r.wantsCounts(counts{"bad_request": 1})
	r.wantsNoDial("the request was refused")
}

// A refused client that neither hangs up nor falls silent is cut.
func TestRefusedClientCannotStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.CloseTimeout, cfg.HandshakeTimeout = 100*time.Millisecond, 100*time.Millisecond
	})
	client := r.dials()
	client.sendsString(strings.Replace(wire.Request(), "GET", "POST", 1))
	client.wantsRefusal("POST", 405)
	go dribble(client, strings.Repeat("x", 1<<20))
	r.wantsNoSessions()
	r.wantsCounts(counts{"bad_request": 1})
}

// A refused client is read, so that no reset destroys the refusal, but not for ever.
func TestRefusedClientCannotFlood(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"by the proxy":    "",
		"by the upstream": "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.dials()
			if answer == "" {
				client.sendsString(strings.Replace(wire.Request(), "GET", "POST", 1))
			} else {
				client.sendsString(wire.Request())
				upstream := r.accepts()
				upstream.wantsRequest()
				upstream.sendsString(answer)
			}
			flood, taken := make([]byte, 64<<10), 0
			for n, err := 0, error(nil); err == nil && taken < 64<<20; taken += n {
				n, err = client.conn.Write(flood)
			}
			if taken >= 64<<20 {
				t.Errorf("%d bytes were taken of a refused client", taken)
			}
			r.wantsNoSessions()
			if n := r.metric("received_bytes_total{client}"); n > 2<<20 {
				t.Errorf("%d bytes were read of a refused client", n)
			}
			client.resets()
		})
	}
}

// dribble sends s byte by byte until nobody takes it any more.
func dribble(p *peer, s string) {
	for i := range len(s) {
		if _, err := p.conn.Write([]byte(s[i : i+1])); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestHeadOverTheLimit(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{"whole": "\r\n\r\n", "endless": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) { cfg.MaxHeaderSize = 1024 })
			client := r.dials()
			client.sendsString(strings.TrimSuffix(wire.Request("X-Big: "+strings.Repeat("x", 2048)), "\r\n\r\n") + end)
			client.wantsRefusal("the head is too large", 431)
			client.hangsUp()
			r.wantsNoSessions()
			r.wantsCounts(counts{"limit": 1})
			r.wantsNoDial("the request was refused")
		})
	}
}

func TestSlowHead(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.HandshakeTimeout = 200 * time.Millisecond })
	client := r.dials()
	go dribble(client, wire.Request("X-Big: "+strings.Repeat("x", 20000)))
	client.wantsRefusal("the deadline is in total, not per byte", 408)
	client.hangsUp()
	r.wantsNoSessions()
	r.wantsCounts(counts{"timeout": 1})
	r.wantsNoDial("there was no request")
}

func TestHeadInManyPieces(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.dials()
	for _, b := range []byte(wire.Request()) { // the kernel may join some; see TestHeadByBytes
		client.sendsBytes([]byte{b})
	}
	upstream := r.accepts()
	for _, b := range []byte(wire.Answer(upstream.wantsRequest())) {
		upstream.sendsBytes([]byte{b})
	}
	client.wantsSwitch()
	r.wantsCounts(counts{"ok": 1, "opened": 1, "active": 1})
}

func TestClientGoneBeforeItsRequest(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{"at once": "", "inside of its head": "GET / HTTP/1.1\r\nHos"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.dials()
			client.sendsString(sent)
			client.hangsUp()
			r.wantsCounts(counts{"client_gone": 1})
			r.wantsNoSessions()
			r.wantsNoDial("there was no request")
		})
	}
}

func TestClientGoneWhileTheUpstreamIsSilent(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]func(*peer){"by FIN": (*peer).hangsUp, "by RST": (*peer).resets} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.dials()
			client.sendsString(wire.Request())
			upstream := r.accepts()
			upstream.wantsRequest()
			leaves(client)
			upstream.wantsCut("nobody waits for the answer")
			r.wantsNoSessions()
			r.wantsCounts(counts{"client_gone": 1})
		})
	}
}

func TestTooManySessions(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessions = 1 })
	client, upstream := r.opens()
	second := r.dials()
	second.sendsString(wire.Request())
	resp, _ := second.wantsRefusal("the only place is taken", 503)
	if resp.Header.Get("Retry-After") == "" {
		t.Errorf("the 503 has no Retry-After: %v", resp.Header)
	}
	second.hangsUp()

	client.sends(wire.Close(1000, ""))
	upstream.wants("the client's Close", wire.Close(1000, ""))
	upstream.sends(wire.Close(1000, ""))
	upstream.finishes("the close handshake is complete")
	client.wants("the answer", wire.Close(1000, ""))
	client.wantsEnd("the close handshake is complete")
	client.hangsUp()
	r.wantsNoSessions()
	r.opens()
	r.wantsCounts(counts{"ok": 2, "limit": 1, "opened": 2, "active": 1, "closed client": 1})
}

// Any final answer but a 101 is the client's, whole, and ends where its framing
// says, not only when the upstream hangs up.
func TestUpstreamRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 64<<10)
	tests := []struct {
		name, answer string
		untilEnd     bool // the end of the connection is the end of the body
		status       int
		field, value string
		body         string
	}{
		{"401 with a length", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 6\r\n\r\ndenied",
			false, 401, "Www-Authenticate", "Basic realm=x", "denied"},
		{"302 in chunks", "HTTP/1.1 302 Found\r\nLocation: /login\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ngo \r\n4\r\naway\r\n0\r\n\r\n",
			false, 302, "Location", "/login", "go away"},
		{"503 until the end", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\ncome again",
			true, 503, "Retry-After", "7", "come again"},
		{"HTTP/1.0", "HTTP/1.0 404 Not Found\r\nServer: old\r\n\r\nno", true, 404, "Server", "old", "no"},
		{"200", "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi", false, 200, "X-A", "b", "hi"},
		{"204", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", false, 204, "X-A", "b", ""},
		{"no body", "HTTP/1.1 403 Forbidden\r\nX-A: b\r\nContent-Length: 0\r\n\r\n", false, 403, "X-A", "b", ""},
		{"long body", fmt.Sprintf("HTTP/1.1 500 Oops\r\nX-A: b\r\nContent-Length: %d\r\n\r\n%s", len(long), long), false, 500, "X-A", "b", long},
		{"long body until the end", "HTTP/1.1 500 Oops\r\nX-A: b\r\n\r\n" + long, true, 500, "X-A", "b", long},
		{"after interim answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 403 Forbidden\r\nX-A: b\r\nContent-Length: 1\r\n\r\nx",
			false, 403, "X-A", "b", "x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.dials()
			client.sendsString(wire.Request() + smuggled)
			upstream := r.accepts()
			upstream.wantsRequest()
			upstream.sendsString(test.answer)
			if test.untilEnd {
				if err := upstream.conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			resp, body := client.wantsRefusal("the upstream's own answer", test.status)
			if resp.Header.Get(test.field) != test.value {
				t.Errorf("the client got %v, want %s: %s", resp.Header, test.field, test.value)
			}
			if body != test.body {
				t.Errorf("the client got a body of %d bytes, want %d", len(body), len(test.body))
			}
			client.hangsUp()
			upstream.wantsCut("nothing more of the client reaches it, nor does another request")
			r.wantsNoSessions()
			r.wantsCounts(counts{"upstream_refused": 1})
		})
	}
}

// The fields of a refusal, header and trailer: raw bytes from the upstream, exact
// bytes at the client.
func TestRefusalsFields(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, answer, client string }{
		{"hop by hop, and what Connection names",
			"HTTP/1.1 403 No\r\nConnection: close, X-Hop, @, x-hip\r\nX-Hop: 1\r\nX-Hip: 1\r\nKeep-Alive: 5\r\nProxy-Connection: a\r\nProxy-Authenticate: Basic\r\nTE: a\r\nUpgrade: h2c\r\nX-A: b\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 403 No\r\nConnection: close\r\nX-A: b\r\nContent-Length: 0\r\n\r\n"},
		{"white space before a colon (RFC 9112 5.1)",
			"HTTP/1.1 403 No\r\nSet-Cookie : x\r\nContent-Length\t: 2\r\nConnection : X-Hop\r\nX-Hop: 1\r\n\r\nhi and more",
			"HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 2\r\nSet-Cookie: x\r\n\r\nhi"},
		{"folded fields (RFC 9112 5.2)",
			"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n realm=\"x\"\r\nConnection : close,\r\n\tX-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 401 No\r\nConnection: close\r\nWww-Authenticate: Basic   realm=\"x\"\r\nContent-Length: 0\r\n\r\n"},
		{"very many fields",
			"HTTP/1.1 403 No\r\n" + strings.Repeat("X-A: b\r\n", 300) + "Connection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 403 No\r\nConnection: close\r\n" + strings.Repeat("X-A: b\r\n", 300) + "Content-Length: 0\r\n\r\n"},
		{"chunks, by a field with white space",
			"HTTP/1.1 403 No\r\nTransfer-Encoding : chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
			"HTTP/1.1 403 No\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
		{"a trailer, announced or not",
			"HTTP/1.1 403 No\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum : 1\r\nX-More: 2\r\n\r\n",
			"HTTP/1.1 403 No\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\nX-More: 2\r\nX-Sum: 1\r\n\r\n"},
		{"what no trailer may say (RFC 9110 6.5.1)",
			"HTTP/1.1 403 No\r\nConnection: close, X-Hop\r\nTrailer: X-Sum, Set-Cookie, X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n" +
				"Connection: X-A\r\nSet-Cookie: a=b\r\nX-Sum: 1\r\nX-Hop: 1\r\nLocation: /\r\nSec-WebSocket-Accept: a\r\n\r\n",
			"HTTP/1.1 403 No\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\nX-Sum: 1\r\n\r\n"},
		{"426 says to what (RFC 9110 7.8, 15.5.22)",
			"HTTP/1.1 426 Old\r\nSec-WebSocket-Version: 8\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 426 Old\r\nConnection: close\r\nConnection: Upgrade\r\nSec-Websocket-Version: 8\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"},
		{"the version is ours (RFC 9112 2.3)",
			"HTTP/1.0 404 Old\r\nContent-Length: 2\r\n\r\nhi",
			"HTTP/1.1 404 Old\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.dials()
			client.sendsString(wire.Request())
			upstream := r.accepts()
			upstream.wantsRequest()
			upstream.sendsString(test.answer)
			got, err := io.ReadAll(client.in)
			if err != nil || string(got) != test.client {
				t.Errorf("the client got, %v:\n%q\nwant\n%q", err, got, test.client)
			}
			client.hangsUp()
			r.wantsNoSessions()
			r.wantsCounts(counts{"upstream_refused": 1})
		})
	}
}

// A body that breaks off must not look whole to the client.
func TestRefusalBreaksOff(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]string{
		"length": "HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nonly this",
		"chunks": "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.dials()
			client.sendsString(wire.Request())
			upstream := r.accepts()
			upstream.wantsRequest()
			upstream.sendsString(cut)
			upstream.hangsUp()
			resp, err := http.ReadResponse(client.in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("the broken body looks whole: %q", body)
			}
			client.hangsUp()
			r.wantsNoSessions()
		})
	}
}

func TestUpstreamAnswersWrongly(t *testing.T) {
	t.Parallel()
	accept := "Sec-WebSocket-Accept: " + wire.Accept(wire.Key)
	switching := func(fields ...string) string { return wire.Head("HTTP/1.1 101 Switching Protocols", fields...) }
	right := func(fields ...string) string {
		return switching(append([]string{"Upgrade: websocket", "Connection: Upgrade", "$ACCEPT"}, fields...)...)
	}
	offer := []string{"Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate"}
	tests := []struct {
		name   string
		fields []string // the client's
		answer string   // $ACCEPT stands for the right one
	}{
		{"no Upgrade", nil, switching("Connection: Upgrade", "$ACCEPT")},
		{"another Upgrade", nil, switching("Upgrade: h2c", "Connection: Upgrade", "$ACCEPT")},
		{"no Connection", nil, switching("Upgrade: websocket", "$ACCEPT")},
		{"another Connection", nil, switching("Upgrade: websocket", "Connection: close", "$ACCEPT")},
		{"no accept", nil, switching("Upgrade: websocket", "Connection: Upgrade")},
		{"wrong accept", nil, switching("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: "+wire.Accept("x"))},
		{"two accepts", nil, right(accept + "x")},
		{"subprotocol that nobody asked for", nil, right("Sec-WebSocket-Protocol: chat")},
		{"another subprotocol", offer, right("Sec-WebSocket-Protocol: superchat")},
		{"two subprotocols", []string{"Sec-WebSocket-Protocol: a, b"}, right("Sec-WebSocket-Protocol: a, b")},
		{"extension that nobody asked for", nil, right("Sec-WebSocket-Extensions: permessage-deflate")},
		{"another extension", offer, right("Sec-WebSocket-Extensions: x-other")},
		{"one extension twice", offer, right("Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate")},
		{"unknown parameter", offer, right("Sec-WebSocket-Extensions: permessage-deflate; x=1")},
		{"window out of range", offer, right("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16")},
		{"client's window, not offered", offer, right("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10")},
		{"garbage", nil, "\x16\x03\x01garbage\r\n\r\n"},
		{"another protocol", nil, "SSH-2.0-OpenSSH_9.9\r\n\r\n"},
		{"no status", nil, "HTTP/1.1 \r\n\r\n"},
		{"status of two digits", nil, "HTTP/1.1 99 Low\r\n\r\n"},
		{"status of words", nil, "HTTP/1.1 OK\r\n\r\n"},
		{"HTTP/2", nil, "HTTP/2.0 101 Switching Protocols\r\n\r\n"},
		{"field without a colon", nil, "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"},
		{"endless head", nil, "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("x", 33<<10)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.dials()
			client.sendsString(wire.Request(test.fields...) + smuggled)
			upstream := r.accepts()
			key := upstream.wantsRequest().Header.Get("Sec-WebSocket-Key")
			upstream.sendsString(strings.ReplaceAll(test.answer, "$ACCEPT", "Sec-WebSocket-Accept: "+wire.Accept(key)))
			_, body := client.wantsRefusal("that is no answer to a handshake", 502)
			if strings.Contains(body, "garbage") || strings.Contains(body, "SSH") {
				t.Errorf("the 502 repeats the upstream's words: %q", body)
			}
			upstream.wantsCut("the connection is never used again")
			client.hangsUp()
			r.wantsNoSessions()
			r.wantsCounts(counts{"upstream_invalid": 1})
		})
	}
}

func TestUpstreamEndsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{"at once": "", "inside of its head": "HTTP/1.1 101 Swi"} {
		for how, leaves := range map[string]func(*peer){"by FIN": (*peer).hangsUp, "by RST": (*peer).resets} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				client := r.dials()
				client.sendsString(wire.Request())
				upstream := r.accepts()
				upstream.wantsRequest()
				upstream.sendsString(sent)
				leaves(upstream)
				client.wantsRefusal("no HTTP is no answer", 502)
				client.hangsUp()
				r.wantsNoSessions()
				r.wantsCounts(counts{"upstream_invalid": 1})
			})
		}
	}
}

func TestUpstreamIsTooSlow(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"silent":          "",
		"dribbling":       "HTTP/1.1 101 Switching Protocols\r\nX-A: " + strings.Repeat("x", 20000),
		"forever interim": strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) { cfg.HandshakeTimeout = 200 * time.Millisecond })
			client := r.dials()
			client.sendsString(wire.Request())
			upstream := r.accepts()
			upstream.wantsRequest()
			go dribble(upstream, says)
			client.wantsRefusal("the deadline is in total, not per byte", 504)
			upstream.wantsCut("the connection is never used again")
			client.hangsUp()
			r.wantsNoSessions()
			r.wantsCounts(counts{"timeout": 1})
		})
	}
}

func TestInterimAnswersAreSkipped(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.dials()
	client.sendsString(wire.Request())
	upstream := r.accepts()
	req := upstream.wantsRequest()
	upstream.sendsString("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + wire.Answer(req))
	if h := client.wantsSwitch().Header; h.Get("Link") != "" {
		t.Errorf("the 103's fields are not the 101's: %v", h)
	}
	client.sends(wire.Text("hi"))
	upstream.wants("the session is open", wire.Text("hi"))
}

func TestUpstreamCannotBeDialled(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.service.Close()
	client := r.dials()
	client.sendsString(wire.Request())
	client.wantsRefusal("the dial was refused", 502)
	client.hangsUp()
	r.wantsNoSessions()
	r.wantsCounts(counts{"upstream_unreachable": 1})
}

// A full accept queue makes the kernel drop SYNs, as an upstream does that is
// behind a firewall.
func TestDialTimesOut(t *testing.T) {
	t.Parallel()
	full := fixture.Deaf(t).String()
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Upstream = &url.URL{Scheme: "ws", Host: full}
		cfg.DialTimeout = 200 * time.Millisecond
	})
	client := r.dials()
	client.sendsString(wire.Request())
	client.wantsRefusal("the dial timed out", 504)
	client.hangsUp()
	r.wantsNoSessions()
	r.wantsCounts(counts{"timeout": 1})
}

func TestClientGoneWhileDialling(t *testing.T) {
	t.Parallel()
	full := fixture.Deaf(t).String()
	r := newRig(t, func(cfg *proxy.Config) { cfg.Upstream = &url.URL{Scheme: "ws", Host: full} })
	client := r.dials()
	client.sendsString(wire.Request())
	client.wantsNothing("the dial is under way")
	client.resets()
	r.wantsNoSessions()
	r.wantsCounts(counts{"client_gone": 1})
}

func TestBytesThatCameWithTheRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.dials()
	data := wire.Encode(true, wire.Text("early"), wire.Binary(strings.Repeat("x", 1000)))
	client.sendsString(wire.Request() + string(data) + string(wire.Encode(true, wire.Ping("p"))))
	upstream := r.accepts()
	req := upstream.wantsRequest()
	upstream.wantsNothing("no client byte reaches the upstream before a checked 101")
	upstream.sendsString(wire.Answer(req))
	client.wantsSwitch()
	client.wants("its ping is answered here", wire.Pong("p"))
	upstream.wantsBytes("came with the request", data)
	client.sends(wire.Text("later"))
	upstream.wants("came after", wire.Text("later"))
}

func TestBytesThatCameWithTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.dials()
	client.sendsString(wire.Request())
	upstream := r.accepts()
	frames := wire.Encode(false, wire.Text("welcome"), wire.Ping("q"), wire.Text("friend"))
	upstream.sendsString(wire.Answer(upstream.wantsRequest()) + string(frames))
	client.wantsSwitch()
	client.wants("came with the 101", wire.Text("welcome"), wire.Text("friend"))
	upstream.wants("its ping is answered here", wire.Pong("q"))
}

// What comes early is kept within bounds: the rest waits in the client's kernel.
func TestManyBytesThatCameEarly(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.dials()
	client.sendsString(wire.Request())
	upstream := r.accepts()
	req := upstream.wantsRequest()
	sent := bulk(1, 8<<20, true)
	go func() { _, _ = client.conn.Write(sent) }()
	upstream.wantsNothing("no client byte reaches the upstream before a checked 101")
	if n := r.metric("received_bytes_total{client}"); n > 256<<10 {
		t.Errorf("%d bytes were read before the 101", n)
	}
	upstream.sendsString(wire.Answer(req))
	upstream.wantsBytes("all that came early", sent)
}

// The log names the path of a session and never its query.
func TestLogHidesTheQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	client.hangsUp()
	upstream.wantsClose("the client is gone", 1001)
	upstream.hangsUp()
	r.wantsNoSessions()
	refused := r.dials()
	refused.sendsString(strings.Replace(wire.Request(), "GET", "POST", 1))
	refused.wantsRefusal("POST", 405)
	refused.hangsUp()
	r.wantsNoSessions()
	if log := r.log.String(); !strings.Contains(log, "/chat") || strings.Contains(log, "s3cret") {
		t.Errorf("the log wants the path and not the query:\n%s", log)
	}
}

// A page and a session have the same upstream, by target and by name in the log.
func TestPageAndSessionNameTheUpstreamAlike(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.Upstream.Path = "/legacy" })
	for _, head := range []string{
		strings.Replace(wire.Request(), "/chat?token=s3cret", "/", 1),
		"GET / HTTP/1.1\r\nHost: service.example\r\n\r\n",
	} {
		client := r.dials()
		client.sendsString(head)
		upstream := r.accepts()
		if got := upstream.wantsRequest().RequestURI; got != "/legacy" {
			t.Errorf("the upstream was asked for %q, want /legacy", got)
		}
		upstream.hangsUp()
		client.wantsStatus("the upstream says nothing", 502)
	}
	scheme := "ws"
	if r.tls.upstream {
		scheme = "wss"
	}
	want := fmt.Sprintf(`"upstream":"%s://%v"`, scheme, r.service.Addr())
	for _, message := range []string{"handshake failed", "request failed"} {
		told := regexp.MustCompile(`.*"msg":"` + message + `".*`).FindString(r.log.String())
		if !strings.Contains(told, want) {
			t.Errorf("%s is not in the log's %q", want, told)
		}
	}
}
