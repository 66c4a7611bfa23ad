package proxy_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

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
		r := newRig(t, func(cfg *proxy.Config) { cfg.Upstreams[0].URL.Path = test.prefix })
		r.dials().sendsString(strings.Replace(wire.Request(), "/chat?token=s3cret", test.target, 1))
		if got := r.accepts().wantsRequest().RequestURI; got != test.want {
			t.Errorf("behind %s the request for %s became %q, want %q", test.prefix, test.target, got, test.want)
		}
	}
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
	client, upstream, req := r.asksUpstream(wire.Request())
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
	r := newRig(t, func(cfg *proxy.Config) { cfg.Upstreams[0].URL.Path = "/legacy" })
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
