//go:build e2e

package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blackbox"
	"holdfast/internal/fixture"
)

// upgradeRequest is the one of RFC 6455, section 1.3, as far as it is the
// client's to choose.
func upgradeRequest(t *testing.T, proxy *holdfast) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy.web()+"/chat", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	return r
}

// answer does the request as a plain HTTP client and returns the answer with its body.
func answer(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return response, bodyOf(t, response)
}

func bodyOf(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		return ""
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("the answer's body: %v", err)
	}
	return string(body)
}

// upstreamSaying answers every request with the same bytes and ends the connection.
func upstreamSaying(t *testing.T, response string) (url string) {
	t.Helper()
	return upstreamDoing(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, response)
		}
	})
}

// upstreamDoing serves each connection with serve, then closes it.
func upstreamDoing(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go acceptAll(listener, serve)
	return "ws://" + listener.Addr().String()
}

func acceptAll(listener net.Listener, serve func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed at the test's end
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}

// upstreamAbsent is an address where nobody listens, held so that nobody can.
func upstreamAbsent(t *testing.T) (url string) {
	t.Helper()
	return "ws://" + fixture.Unused(t).String()
}

func TestRefusalOfTheUpstreamIsPassedOn(t *testing.T) {
	cases := []struct {
		name     string
		response string
		status   int
		field    string
		value    string
		body     string
	}{{
		name: "401 with a length",
		response: "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"chat\"\r\n" +
			"Content-Length: 14\r\n\r\nwho are you?\r\n",
		status: 401, field: "WWW-Authenticate", value: `Bearer realm="chat"`, body: "who are you?\r\n",
	}, {
		name: "302 in chunks",
		response: "HTTP/1.1 302 Found\r\nLocation: https://example.com/login\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n6\r\nlog in\r\n7\r\n, first\r\n0\r\n\r\n",
		status: 302, field: "Location", value: "https://example.com/login", body: "log in, first",
	}, {
		name:     "503 until the connection's end",
		response: "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nConnection: close\r\n\r\nnot now",
		status:   503, field: "Retry-After", value: "7", body: "not now",
	}, {
		name:     "204 without a body",
		response: "HTTP/1.1 204 No Content\r\nX-Mood: quiet\r\n\r\n",
		status:   204, field: "X-Mood", value: "quiet",
	}, {
		name: "403 with a long body",
		response: "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n" +
			strings.Repeat("no", 500_000),
		status: 403, field: "Content-Type", value: "text/plain", body: strings.Repeat("no", 500_000),
	}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proxy := startHoldfast(t, upstreamSaying(t, c.response))
			response, body := answer(t, upgradeRequest(t, proxy))
			if response.StatusCode != c.status {
				t.Errorf("status %d, want %d", response.StatusCode, c.status)
			}
			if got := response.Header.Get(c.field); got != c.value {
				t.Errorf("%s: %q, want %q", c.field, got, c.value)
			}
			if body != c.body {
				t.Errorf("a body of %d bytes, want %d: %.80q", len(body), len(c.body), body)
			}
			proxy.wantsMetric(blackbox.Handshakes("upstream_refused"), 1)
		})
	}
}

func TestClientLibrariesSeeTheRefusal(t *testing.T) {
	for _, clients := range []runtime{python, node} {
		t.Run(clients.name, func(t *testing.T) {
			t.Parallel()
			proxy := startHoldfast(t, upstreamSaying(t, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"))
			client := startClient(t, clients)
			client.asks(proxy.url, command{ID: "a"})
			if e := client.wants("refused", "a"); e.Status != 401 {
				t.Errorf("status %d", e.Status)
			}
		})
	}
}

// The upstream is absent: what got as far as dialling it would be a 502.
func TestRequestsThatAreNoHandshake(t *testing.T) {
	needsProxy(t)
	proxy := startHoldfast(t, upstreamAbsent(t), "HOLDFAST_HTTP=refuse")
	cases := []struct {
		name   string
		change func(*http.Request)
		status int
		field  string
		value  string
	}{
		{"plain GET", func(r *http.Request) { r.Header.Del("Upgrade"); r.Header.Del("Connection") }, 426, "Upgrade", "websocket"},
		{"plain POST", func(r *http.Request) { r.Method = "POST"; r.Header.Del("Upgrade"); r.Header.Del("Connection") }, 405, "Allow", "GET"},
		{"POST that upgrades", func(r *http.Request) { r.Method = "POST" }, 405, "Allow", "GET"},
		{"version 8", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 426, "Sec-WebSocket-Version", "13"},
		{"no version", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Version") }, 426, "Sec-WebSocket-Version", "13"},
		{"two keys", func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", "c2hvcnQ=") }, 400, "", ""},
		{"no key", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400, "", ""},
	}
	for _, c := range cases {
		r := upgradeRequest(t, proxy)
		c.change(r)
		response, _ := answer(t, r)
		if response.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.name, response.StatusCode, c.status)
		}
		if got := response.Header.Get(c.field); got != c.value {
			t.Errorf("%s: %s: %q, want %q", c.name, c.field, got, c.value)
		}
	}
	proxy.wantsMetric(blackbox.Handshakes("bad_request"), float64(len(cases)))
}

func TestUpstreamAtFault(t *testing.T) {
	needsProxy(t)
	silent := func(t *testing.T) string {
		return upstreamDoing(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	}
	saying := func(response string) func(*testing.T) string {
		return func(t *testing.T) string { return upstreamSaying(t, response) }
	}
	cases := []struct {
		name     string
		upstream func(*testing.T) string
		status   int
		result   string
	}{
		{"absent", upstreamAbsent, 502, "upstream_unreachable"},
		{"silent", silent, 504, "timeout"},
		{"no HTTP", saying("SSH-2.0-OpenSSH_9.2\r\n\r\n"), 502, "upstream_invalid"},
		{"nothing", saying(""), 502, "upstream_invalid"},
		{"wrong accept", saying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"), 502, "upstream_invalid"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proxy := startHoldfast(t, c.upstream(t), "HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT=1s")
			if response, body := answer(t, upgradeRequest(t, proxy)); response.StatusCode != c.status {
				t.Errorf("status %d, want %d: %s", response.StatusCode, c.status, body)
			}
			proxy.wantsMetric(blackbox.Handshakes(c.result), 1)
		})
	}
}

func TestHeadOverTheLimit(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	proxy := startHoldfast(t, upstreamAbsent(t), "HOLDFAST_MAX_HEADER_SIZE=4KiB")
	r := upgradeRequest(t, proxy)
	r.Header.Set("Cookie", strings.Repeat("x", 8<<10))
	if response, _ := answer(t, r); response.StatusCode != 431 {
		t.Errorf("status %d, want 431", response.StatusCode)
	}
	proxy.wantsMetric(blackbox.Handshakes("limit"), 1)
}

func TestSlowHead(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	proxy := startHoldfast(t, upstreamAbsent(t), "HOLDFAST_HANDSHAKE_TIMEOUT=1s")
	conn, err := net.Dial("tcp", proxy.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: exam")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	bodyOf(t, response)
	if response.StatusCode != 408 {
		t.Errorf("status %d, want 408", response.StatusCode)
	}
	proxy.wantsMetric(blackbox.Handshakes("timeout"), 1)
}

func TestTooManySessions(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_MAX_SESSIONS=1")
	client := startClient(t, python)
	client.connects(proxy.url, command{ID: "a"})

	response, _ := answer(t, upgradeRequest(t, proxy))
	if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q, want 503 and some", response.StatusCode, response.Header.Get("Retry-After"))
	}
	proxy.wantsMetric(blackbox.Handshakes("limit"), 1)

	client.closes("a", 1000, "")
	client.wantsClosed("a", 1000, "")
	proxy.wantsMetric("holdfast_sessions_active", 0)
	client.connects(proxy.url, command{ID: "b"})
	client.echoes("b", hello)
}

// A client's address, not a connection's end, is what counts: no other's
// sessions are in its way, and its own make room when they end.
func TestTooManySessionsOfAnAddress(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_MAX_SESSIONS_PER_IP=1")
	client := startClient(t, python)
	client.connects(proxy.url, command{ID: "a", From: "127.0.0.2"})

	client.asks(proxy.url, command{ID: "b", From: "127.0.0.2"})
	if e := client.wants("refused", "b"); e.Status != 429 {
		t.Errorf("the second session from an address is refused with %d, want 429", e.Status)
	}
	proxy.wantsMetric(blackbox.Handshakes("limit_per_ip"), 1)
	client.connects(proxy.url, command{ID: "c", From: "127.0.0.3"})
	client.echoes("c", hello)
	client.echoes("a", hello)

	client.closes("a", 1000, "")
	client.wantsClosed("a", 1000, "")
	proxy.wantsMetric(blackbox.Closed("client"), 1)
	client.connects(proxy.url, command{ID: "d", From: "127.0.0.2"})
	client.echoes("d", hello)
	proxy.wantsMetric(blackbox.Handshakes("limit_per_ip"), 1)
}
