package proxy_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// One of each kind: package upgrade has them all.
func TestUpstreamAnswersWrongly(t *testing.T) {
	t.Parallel()
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
		{"no accept", nil, switching("Upgrade: websocket", "Connection: Upgrade")},
		{"another extension", offer, right("Sec-WebSocket-Extensions: x-other")},
		{"garbage", nil, "\x16\x03\x01garbage\r\n\r\n"},
		{"another protocol", nil, "SSH-2.0-OpenSSH_9.9\r\n\r\n"},
		{"status of two digits", nil, "HTTP/1.1 99 Low\r\n\r\n"},
		{"endless head", nil, "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("x", 33<<10)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream, asked := r.asksUpstream(wire.Request(test.fields...) + smuggled)
			accept := "Sec-WebSocket-Accept: " + wire.Accept(asked.Header.Get("Sec-WebSocket-Key"))
			upstream.sendsString(strings.ReplaceAll(test.answer, "$ACCEPT", accept))
			_, body := client.wantsRefusal("that does not answer a handshake", 502)
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
	for name, sent := range map[string]string{"at once": "", "inside its head": "HTTP/1.1 101 Swi"} {
		for how, leaves := range map[string]func(*peer){"by FIN": (*peer).hangsUp, "by RST": (*peer).resets} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				client, upstream, _ := r.asksUpstream(wire.Request())
				upstream.sendsString(sent)
				leaves(upstream)
				client.wantsRefusal("an end without HTTP does not answer", 502)
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
			r := newRig(t, func(cfg *proxy.Config) { cfg.UpstreamHandshakeTimeout = 200 * time.Millisecond })
			client, upstream, _ := r.asksUpstream(wire.Request())
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
	client, upstream, req := r.asksUpstream(wire.Request())
	upstream.sendsString("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + wire.Answer(req))
	if h := client.wantsSwitch().Header; h.Get("Link") != "" {
		t.Errorf("the 103's fields are not the 101's: %v", h)
	}
	client.sends(wire.Text("hi"))
	upstream.wants("the session is open", wire.Text("hi"))
}

func TestClientGoneWhileTheUpstreamIsSilent(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]func(*peer){"by FIN": (*peer).hangsUp, "by RST": (*peer).resets} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream, _ := r.asksUpstream(wire.Request())
			if n := r.metric("handshakes_active"); n != 1 {
				t.Errorf("%d handshakes are under way, want 1", n)
			}
			leaves(client)
			upstream.wantsCut("nobody waits for the answer")
			r.wantsNoSessions()
			r.wantsCounts(counts{"client_gone": 1})
		})
	}
}
