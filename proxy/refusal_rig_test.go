package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// smuggled follows a request that is refused: no upstream may ever see it.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: service.example\r\n\r\n"

// One of each kind: package upgrade has them all.
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
		{"version 8", instead("Version: 13", "Version: 8"), []int{426}},
		{"no key", without("Sec-WebSocket-Key:"), []int{400}},
		{"not HTTP", "hello\r\n\r\n", []int{400}},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 505}},
		{"body by length", wire.Request(fmt.Sprintf("Content-Length: %d", len(smuggled))), []int{400}},
		{"two framings", wire.Request("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", []int{400}},
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

func TestClientGoneBeforeItsRequest(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{"at once": "", "inside its head": "GET / HTTP/1.1\r\nHos"} {
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

// A request that comes back to the proxy has been passed on once, and is not again.
func TestLoopIsCut(t *testing.T) {
	t.Parallel()
	for name, asks := range map[string]string{
		"session": wire.Request("CDN-Loop: other"),
		"page":    "GET / HTTP/1.1\r\nHost: service.example\r\nCDN-Loop: other\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			first := r.dials()
			first.sendsString(asks)
			upstream := r.accepts()
			passed := upstream.wantsHead()

			again := r.dials()
			again.sendsString(passed)
			again.wantsStatus("it has been here before", http.StatusLoopDetected)
			r.wantsNoDial("it would come back once more")

			upstream.sendsString("HTTP/1.1 508 Loop Detected\r\nContent-Length: 0\r\n\r\n")
			first.wantsStatus("the end of the loop is passed back", http.StatusLoopDetected)

			other := newRig(t, nil) // another process, with another name
			other.dials().sendsString(passed)
			if got := other.accepts().wantsHead(); strings.Count(strings.ToLower(got), "cdn-loop: ") != 3 {
				t.Errorf("behind two proxies the names are not those of the client and of both:\n%s", got)
			}
		})
	}
}
