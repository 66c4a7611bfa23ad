package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

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
		{"204 in chunks", "HTTP/1.1 204 No Content\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n", false, 204, "X-A", "b", ""},
		{"304 in chunks", "HTTP/1.1 304 Not Modified\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n", false, 304, "X-A", "b", ""},
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
			client, upstream, _ := r.asksUpstream(wire.Request() + smuggled)
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
			if bodiless := test.status == 204 || test.status == 304; bodiless && resp.TransferEncoding != nil {
				t.Errorf("an answer without a body is framed by %v", resp.TransferEncoding)
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
			"HTTP/1.1 401 No\r\nConnection: close\r\nWWW-Authenticate: Basic   realm=\"x\"\r\nContent-Length: 0\r\n\r\n"},
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
		{"a trailer that announces a field of framing",
			"HTTP/1.1 403 No\r\nTrailer: Content-Length, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
			"HTTP/1.1 403 No\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\nX-Sum: 1\r\n\r\n"},
		{"426 says to what (RFC 9110 7.8, 15.5.22)",
			"HTTP/1.1 426 Old\r\nSec-WebSocket-Version: 8\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 426 Old\r\nConnection: close\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"},
		{"the version is ours (RFC 9112 2.3)",
			"HTTP/1.0 404 Old\r\nContent-Length: 2\r\n\r\nhi",
			"HTTP/1.1 404 Old\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream, _ := r.asksUpstream(wire.Request())
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
			client, upstream, _ := r.asksUpstream(wire.Request())
			upstream.sendsString(cut)
			upstream.hangsUp()
			resp, err := http.ReadResponse(client.in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("the broken body looks whole: %q", body)
			}
			r.wantsLine(&r.log, "answer cut short: the upstream ended it early").isWarning(t)
			client.hangsUp()
			r.wantsNoSessions()
		})
	}
}

// A body that stops coming has the rest of the upstream's time, and not longer.
func TestRefusalStops(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.HandshakeTimeout, cfg.UpstreamHandshakeTimeout = 30*moment, 30*moment
	})
	client, upstream, _ := r.asksUpstream(wire.Request())
	upstream.sendsString("HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nonly this")
	resp, err := http.ReadResponse(client.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the broken body looks whole: %q", body)
	}
	upstream.wantsCut("its time is up")
	r.wantsLine(&r.log, "answer cut short: the upstream did not send all of it in time").isWarning(t)
	client.hangsUp()
	r.wantsNoSessions()
}

// isWarning wants the line to be one that an operator looks at, about this refusal.
func (l logged) isWarning(t *testing.T) {
	t.Helper()
	if l.Level != "WARN" || l.Result != "upstream_refused" || l.Status != 500 {
		t.Errorf("the log says %+v, want a warning about a 500", l)
	}
}
