package command

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"holdfast/internal/config"
	"holdfast/internal/fixture"
	"holdfast/internal/wire"
)

// service is an upstream that upgrades every request and then behaves as told.
func service(t *testing.T, behave func(conn net.Conn)) (address string) {
	t.Helper()
	server := httptest.NewServer(upgrades(t, behave))
	stopsAtEnd(t, server)
	return server.Listener.Addr().String()
}

// stopsAtEnd stops a service after the test, whatever its clients have left open: Close
// alone waits for requests that are not answered.
func stopsAtEnd(t *testing.T, server *httptest.Server) {
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
}

func upgrades(t *testing.T, behave func(conn net.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Errorf("the upgrade was refused: %v", err)
			return
		}
		defer conn.Close()
		behave(conn)
	})
}

// answers is a service that answers a ping, among other things.
func answers(t *testing.T) func(conn net.Conn) {
	return func(conn net.Conn) {
		sends(conn, wire.Text("welcome")) // perhaps in one packet with the 101
		p := reads(t, conn)
		sends(conn, wire.Pong("else"), wire.Pong("unasked"), wire.Pong(p.Payload))
		if farewell := reads(t, conn); farewell.Op != ws.OpClose {
			t.Errorf("after the pong came %v, want a Close", farewell)
		}
	}
}

// sends writes frames of the service's. An error shows at the client.
func sends(conn net.Conn, frames ...wire.Frame) { _, _ = conn.Write(wire.Encode(false, frames...)) }

// reads returns the next frame that the client sends.
func reads(t *testing.T, conn net.Conn) wire.Frame {
	t.Helper()
	f, err := wire.Read(conn, true)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	return f
}

func TestCheckConnect(t *testing.T) {
	t.Parallel()
	silent := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	closes := func(conn net.Conn) {
		reads(t, conn)
		sends(conn, wire.Close(1008, "no"))
	}
	closesAndEnds := func(conn net.Conn) {
		sends(conn, wire.Close(1008, "no"))
		_ = conn.(*net.TCPConn).SetLinger(0) // so that the ping cannot be sent
	}
	closesEmpty := func(conn net.Conn) {
		reads(t, conn)
		sends(conn, wire.EmptyClose())
	}
	sendsLong := func(conn net.Conn) {
		p := reads(t, conn)
		sends(conn, wire.Text(strings.Repeat("x", 10_000)), wire.Pong(p.Payload))
		_, _ = io.Copy(io.Discard, conn)
	}
	hangsUp := func(conn net.Conn) { reads(t, conn) }
	doesNotEcho := func(conn net.Conn) {
		p := reads(t, conn)
		if strings.ContainsFunc(p.Payload, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("the ping's payload is %q, want printable ASCII", p.Payload)
		}
		sends(conn, wire.Pong(""))
		sends(conn, wire.Close(1000, reads(t, conn).Reason()))
	}

	const soon = "HOLDFAST_UPSTREAM_PING_TIMEOUT=1ms"
	for _, tc := range []struct {
		name           string
		behave         func(net.Conn)
		environ        []string
		code           int
		stdout, stderr string // patterns
	}{
		{"answers", answers(t), nil, 0, `^configuration ok\nws://\S+: upgraded in \S+s, answered a ping in \S+s\n$`, `^$`},
		{"does not echo", doesNotEcho, nil, 0,
			`: upgraded in \S+s, answered a ping in \S+s with another payload, which HOLDFAST_LIVENESS=any accepts\n$`, `^$`},
		{"does not echo, and only an echo counts", doesNotEcho, []string{"HOLDFAST_LIVENESS=pong"}, 0,
			`: upgraded in \S+s, answered a ping in \S+s with another payload, which HOLDFAST_LIVENESS=pong does not accept, and will not be held to it\n$`, `^$`},
		{"does not echo, though it must", doesNotEcho, []string{"HOLDFAST_LIVENESS=pong", "HOLDFAST_UPSTREAM_PONG=require"}, 1,
			`^configuration ok\n$`, `with another payload, which HOLDFAST_LIVENESS=pong does not accept; HOLDFAST_UPSTREAM_PONG=require would drop its sessions\n$`},
		{"silent", silent, []string{soon}, 0,
			`: upgraded in \S+s, did not answer a ping within HOLDFAST_UPSTREAM_PING_TIMEOUT=1ms, and will not be held to it\n$`, `^$`},
		{"silent, though it must answer", silent, []string{soon, "HOLDFAST_UPSTREAM_PONG=require"}, 1,
			`^configuration ok\n$`, `^ws://\S+: upgraded in \S+s, did not answer a ping within HOLDFAST_UPSTREAM_PING_TIMEOUT=1ms; HOLDFAST_UPSTREAM_PONG=require would drop its sessions\n$`},
		{"silent, without a deadline", silent, []string{"HOLDFAST_UPSTREAM_PING_TIMEOUT=0", "HOLDFAST_UPSTREAM_PONG=require", "HOLDFAST_HANDSHAKE_TIMEOUT=200ms"}, 0,
			`: upgraded in \S+s, did not answer a ping within HOLDFAST_HANDSHAKE_TIMEOUT=200ms, and will not be held to it\n$`, `^$`},
		{"closes", closes, nil, 1, `^configuration ok\n$`, `: upgraded in \S+s, then: it sent a Close with code 1008 and reason "no" instead of answering a ping; the service's own log may say why; it may want another path \(-path\), or a field that clients send and this check does not\n$`},
		{"closes and ends", closesAndEnds, nil, 1, `^configuration ok\n$`, `, then: it sent a Close with code 1008 and reason "no" instead of answering a ping; `},
		{"closes without a code", closesEmpty, nil, 1, `^configuration ok\n$`, `, then: it sent a Close without a code instead of answering a ping; `},
		{"sends a long frame", sendsLong, nil, 0, `, answered a ping in \S+s\n$`, `^$`},
		{"sends a frame over the limit", sendsLong, []string{"HOLDFAST_MAX_FRAME_SIZE=100"}, 1, `^configuration ok\n$`,
			`, then: it sent a frame larger than HOLDFAST_MAX_FRAME_SIZE, for which its sessions would be dropped; raise that limit\n$`},
		{"sends a message over the limit", sendsLong, []string{"HOLDFAST_MAX_MESSAGE_SIZE=100"}, 1, `^configuration ok\n$`,
			`, then: it sent a message larger than HOLDFAST_MAX_MESSAGE_SIZE, for which its sessions would be dropped; raise that limit\n$`},
		{"hangs up", hangsUp, nil, 1, `^configuration ok\n$`, `: upgraded in \S+s, then: it ended the connection instead of answering a ping\n$`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			environ := append(tc.environ, "HOLDFAST_UPSTREAM=ws://"+service(t, tc.behave))
			holdfast(environ, "check", "-connect").matches(t, tc.code, tc.stdout, tc.stderr)
		})
	}
}

// A service that the proxy drops every session of does not pass the check.
func TestCheckConnectToAServiceThatBreaksTheProtocol(t *testing.T) {
	raw := func(b string) func(ping string) []byte { return func(string) []byte { return []byte(b) } }
	for name, tc := range map[string]struct {
		answers func(ping string) []byte
		want    string
	}{
		"a masked pong":                       {func(ping string) []byte { return wire.Encode(true, wire.Pong(ping)) }, "frame from server masked"},
		"a masked message":                    {func(string) []byte { return wire.Encode(true, wire.Text("a")) }, "frame from server masked"},
		"RSV1 without an extension":           {raw("\xc1\x01a"), "RSV1 set without permessage-deflate"},
		"RSV2":                                {raw("\xa1\x01a"), "RSV2 or RSV3 set"},
		"a reserved opcode":                   {raw("\x83\x01a"), "reserved opcode"},
		"a fragmented pong":                   {raw("\x0a\x00"), "fragmented control frame"},
		"a long pong":                         {raw("\x8a\x7e\x00\x7e"), "control frame longer than 125 bytes"},
		"a continuation of nothing":           {raw("\x80\x01a"), "continuation frame without a message to continue"},
		"a message inside a message":          {raw("\x01\x01a\x01\x01a"), "new message inside a fragmented message"},
		"a needlessly long length":            {raw("\x81\x7e\x00\x01a"), "frame length not in its shortest form"},
		"a Close with code 1005":              {func(string) []byte { return wire.Encode(false, wire.Close(1005, "")) }, "invalid close code 1005"},
		"a pong of its own, then a violation": {func(string) []byte { return append(wire.Encode(false, wire.Pong("else")), "\x83\x01a"...) }, "reserved opcode"},
	} {
		t.Run(name, func(t *testing.T) {
			behave := func(conn net.Conn) {
				p := reads(t, conn)
				_, _ = conn.Write(tc.answers(p.Payload)) // an error shows at the client
				_, _ = io.Copy(io.Discard, conn)
			}
			holdfast([]string{"HOLDFAST_UPSTREAM=ws://" + service(t, behave)}, "check", "-connect").matches(t, exitFailed, `^configuration ok\n$`,
				`, then: it broke the protocol, for which its sessions would be dropped: `+tc.want+`; that is the service's to correct\n$`)
		})
	}
}

func (o outcome) matches(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d", o.code, code)
	}
	if !regexp.MustCompile(stdout).MatchString(o.stdout) {
		t.Errorf("stdout %q does not match %s", o.stdout, stdout)
	}
	if !regexp.MustCompile(stderr).MatchString(o.stderr) {
		t.Errorf("stderr %q does not match %s", o.stderr, stderr)
	}
}

func TestCheckConnectRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	environ := []string{"HOLDFAST_UPSTREAM=" + server.URL + "/a"}
	holdfast(environ, "check", "-connect").matches(t, exitFailed, `^configuration ok\n$`, `: refused to upgrade /a with HTTP status 404; if the service upgrades another path, try that with -path, or write it in HOLDFAST_UPSTREAM, where it is a prefix of the paths that clients request\n$`)
	server.Close()
	holdfast(environ, "check", "-connect").matches(t, exitFailed, `^configuration ok\n$`, `cannot connect: dial tcp .* connection refused; start the service, or correct HOLDFAST_UPSTREAM\n$`)
}

// The path is what a client requests, behind the prefix of HOLDFAST_UPSTREAM.
func TestCheckConnectPath(t *testing.T) {
	var asked atomic.Value // the target of the last request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.RequestURI)
		upgrades(t, answers(t)).ServeHTTP(w, r)
	}))
	stopsAtEnd(t, server)
	for prefix, paths := range map[string]map[string]string{
		"":     {"/": "/", "/ws?a=b": "/ws?a=b"},
		"/app": {"/": "/app", "/ws": "/app/ws", "/caf\u00e9": "/app/caf\u00e9"},
	} {
		for path, want := range paths {
			holdfast([]string{"HOLDFAST_UPSTREAM=" + server.URL + prefix}, "check", "-connect", "-path", path).
				matches(t, exitOK, `: upgraded in \S+s, answered a ping in \S+s\n$`, `^$`)
			if got := asked.Load(); got != want {
				t.Errorf("-path %s behind %q asks for %v, want %s", path, prefix, got, want)
			}
		}
	}
}

// What the proxy takes from an old service, the check takes too.
func TestCheckConnectToAnOldService(t *testing.T) {
	for name, head := range map[string]string{
		"HTTP/1.0":      wire.Head("HTTP/1.0 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "$ACCEPT"),
		"a body":        wire.Head("HTTP/1.1 101 x", "Upgrade: WebSocket", "Connection: keep-alive, Upgrade", "$ACCEPT", "Transfer-Encoding: chunked"),
		"a subprotocol": wire.Head("HTTP/1.1 101 x", "Upgrade: websocket", "Connection: Upgrade", "$ACCEPT", "Sec-WebSocket-Protocol: chat"),
		"interim":       wire.Head("HTTP/1.1 103 Hints", "A: b") + wire.Head("HTTP/1.1 101 x", "Upgrade: websocket", "Connection: Upgrade", "$ACCEPT"),
	} {
		t.Run(name, func(t *testing.T) {
			listener := fixture.Listen(t, "tcp", "127.0.0.1:0")
			var done sync.WaitGroup
			done.Go(func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					t.Errorf("the request: %v", err)
					return
				}
				accept := "Sec-WebSocket-Accept: " + wire.Accept(r.Header.Get("Sec-WebSocket-Key"))
				_, _ = io.WriteString(conn, strings.Replace(head, "$ACCEPT", accept, 1)) // an error shows at the client
				answers(t)(conn)
			})
			holdfast([]string{"HOLDFAST_UPSTREAM=ws://" + listener.Addr().String()}, "check", "-connect").
				matches(t, exitOK, `: upgraded in \S+s, answered a ping in \S+s\n$`, `^$`)
			listener.Close() // the check may have failed before it connected
			done.Wait()
		})
	}
}

// A service that does not answer as one is told by what it does, and with what to do.
func TestCheckConnectToNoService(t *testing.T) {
	t.Parallel()
	closes := func(conn net.Conn) { conn.Close() }
	silent := func(conn net.Conn) { io.Copy(io.Discard, conn); conn.Close() }
	babbles := func(conn net.Conn) {
		read := make([]byte, 4<<10)
		conn.Read(read)
		conn.Write([]byte("220 mail.example\r\n"))
		conn.Close()
	}
	alerts := func(conn net.Conn) { // as OpenSSL does
		read := make([]byte, 4<<10)
		conn.Read(read)
		conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x46"))
		conn.Close()
	}
	const soon = "200ms"
	asksForTLS := func(conn net.Conn) { // as nginx does
		read := make([]byte, 4<<10)
		conn.Read(read)
		conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
		conn.Close()
	}
	for _, tc := range []struct {
		name, scheme string
		behave       func(net.Conn)
		stderr       string
	}{
		{"closes", "ws", closes, `: closed the connection without an answer to the upgrade \(.*\); if it speaks TLS, write wss:// in HOLDFAST_UPSTREAM\n$`},
		{"closes", "wss", closes, `: closed the connection during the TLS handshake \(.*\); if it does not speak TLS, write ws:// in HOLDFAST_UPSTREAM\n$`},
		{"silent", "ws", silent, `: did not answer the upgrade within HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT=200ms; raise that if the service needs longer\n$`},
		{"silent", "https", silent, `: no TLS within HOLDFAST_DIAL_TIMEOUT=200ms; if it does not speak TLS, write http:// in HOLDFAST_UPSTREAM\n$`},
		{"asks for TLS", "ws", asksForTLS, `: refused to upgrade / with HTTP status 400; .*; if it speaks TLS, write wss:// in HOLDFAST_UPSTREAM\n$`},
		{"alerts", "http", alerts, `: it speaks TLS; write https:// in HOLDFAST_UPSTREAM\n$`},
		{"babbles", "http", babbles, `: cannot upgrade: malformed response: the status line is not HTTP/1.x and a status; is it a WebSocket service, and is the port right\?; if it speaks TLS, write https:// in HOLDFAST_UPSTREAM\n$`},
	} {
		t.Run(tc.name+" "+tc.scheme, func(t *testing.T) {
			t.Parallel()
			listener := fixture.Listen(t, "tcp", "127.0.0.1:0")
			var done sync.WaitGroup
			done.Go(func() {
				for { // an upgrade that failed is followed by a try with TLS
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					tc.behave(conn)
				}
			})
			environ := []string{"HOLDFAST_UPSTREAM=" + tc.scheme + "://" + listener.Addr().String()}
			if tc.name == "silent" {
				environ = append(environ, "HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT="+soon, "HOLDFAST_DIAL_TIMEOUT="+soon)
			}
			holdfast(environ, "check", "-connect").matches(t, exitFailed, `^configuration ok\n$`, tc.stderr)
			listener.Close()
			done.Wait()
		})
	}
}

// A service that checks Origin is asked as a page's browser asks it. Holdfast's own list
// comes first, and an Origin that the operator sets comes last.
func TestCheckConnectOrigin(t *testing.T) {
	const good, other = "https://app.example.com", "https://elsewhere.example"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Values("Origin"); len(got) != 1 || got[0] != good {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		upgrades(t, answers(t)).ServeHTTP(w, r)
	}))
	stopsAtEnd(t, server)
	const passes = `: upgraded in \S+s, answered a ping in \S+s\n$`
	for _, tc := range []struct {
		origin         string
		environ        []string
		code           int
		stdout, stderr string
	}{
		{good, nil, exitOK, passes, `^$`},
		{good, []string{"HOLDFAST_ALLOWED_ORIGINS=*.example.com"}, exitOK, passes, `^$`},
		{other, nil, exitFailed, `^configuration ok\n$`, `: refused to upgrade with HTTP status 403: it may not accept pages of https://elsewhere.example, or compare that with Host, .*\n$`},
		{"null", nil, exitFailed, `^configuration ok\n$`, `it may not accept pages of null`},
		{good, []string{"HOLDFAST_ALLOWED_ORIGINS=" + other}, exitFailed, `^configuration ok\n$`,
			`^HOLDFAST_ALLOWED_ORIGINS does not have https://app.example.com: Holdfast refuses its pages itself, and the upstream is not asked\n$`},
		{other, []string{"HOLDFAST_UPSTREAM_HEADERS=Origin=" + good}, exitOK, passes, `^warning: HOLDFAST_UPSTREAM_HEADERS sets Origin, .*\n$`},
	} {
		holdfast(append(tc.environ, "HOLDFAST_UPSTREAM="+server.URL), "check", "-connect", "-origin", tc.origin).
			matches(t, tc.code, tc.stdout, tc.stderr)
	}
}

// A service that answers with a status is told by it.
func TestCheckConnectToAnotherService(t *testing.T) {
	for name, tc := range map[string]struct {
		status   int
		location string
		stderr   string
	}{
		"redirects":      {302, "https://app.example/ws?token=s3cret", `: redirects to "https://app.example/ws\?…" with HTTP status 302, and WebSocket clients do not follow; write that address in HOLDFAST_UPSTREAM, with ws:// or wss://\n$`},
		"has pages":      {200, "", `: answered with a page, HTTP status 200, and did not upgrade: it is not a WebSocket service, or not at this path; .*\n$`},
		"wants a token":  {401, "", `: refused to upgrade with HTTP status 401: it wants credentials, which clients may send and this check does not; if no client has them, set them in HOLDFAST_UPSTREAM_HEADERS\n$`},
		"forbids":        {403, "", `: refused to upgrade with HTTP status 403: it may want the Origin that browsers send; try that with -origin, like -origin https://app.example.com; or it wants credentials, .*\n$`},
		"wants a name":   {421, "", `set HOLDFAST_UPSTREAM_HOST to its own\n$`},
		"fails":          {503, "", `: failed with HTTP status 503; its own log says why\n$`},
		"has no path":    {404, "", `: refused to upgrade / with HTTP status 404; `},
		"has no purpose": {300, "", `: refused to upgrade / with HTTP status 300; `},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tc.location != "" {
					w.Header().Set("Location", tc.location)
				}
				w.WriteHeader(tc.status)
			}))
			defer server.Close()
			holdfast([]string{"HOLDFAST_UPSTREAM=" + server.URL}, "check", "-connect").matches(t, exitFailed, `^configuration ok\n$`, tc.stderr)
		})
	}
}

func TestNameThatDoesNotResolve(t *testing.T) {
	lookup := &net.DNSError{Name: "service.example", Err: "no such host", IsNotFound: true}
	got := explainDial(config.Config{}, &net.OpError{Op: "dial", Net: "tcp", Err: lookup}).Error()
	const want = "its name does not resolve: lookup service.example: no such host; correct HOLDFAST_UPSTREAM, or the resolver of this host"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Small images have no CAs, and then no certificate can be checked.
func TestCheckWithoutCAs(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake is to fail
	server.StartTLS()
	defer server.Close()
	cmd := exec.Command(os.Args[0], "check", "-connect")
	cmd.Env = []string{runsMain + "=1", "SSL_CERT_FILE=/nowhere", "SSL_CERT_DIR=/nowhere", "HOLDFAST_UPSTREAM=" + server.URL}
	out, err := cmd.CombinedOutput()
	want := regexp.MustCompile(`^warning: HOLDFAST_UPSTREAM_TLS_CA_FILE is not set, and this system has no CAs .*\nconfiguration ok\n` +
		`https://\S+: this system has no CAs at all to check its certificate by \(.*\); install them \(ca-certificates\), or set HOLDFAST_UPSTREAM_TLS_CA_FILE .*\n$`)
	if err == nil || !want.Match(out) {
		t.Errorf("got %s, %v", out, err)
	}
}

// A server of TLS 1.3 says that it wants a certificate when the handshake is done.
func TestCheckConnectWithoutTheCertificateThatIsWanted(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	holdfast([]string{"HOLDFAST_UPSTREAM=" + server.URL, "HOLDFAST_UPSTREAM_TLS_INSECURE=true"}, "check", "-connect").
		matches(t, exitFailed, `^configuration ok\n$`, `: it requires a certificate \(.*\); set HOLDFAST_UPSTREAM_TLS_CERT_FILE and HOLDFAST_UPSTREAM_TLS_KEY_FILE\n$`)
}

// The upstream is reached however it is to be reached, and asked for what sessions
// will ask it for.
func TestCheckConnectWays(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "service.sock")
	overUnix := httptest.NewUnstartedServer(nil)
	overUnix.Listener.Close()
	overUnix.Listener = fixture.Listen(t, "unix", socket)
	overTCP, overTLS := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	var asked atomic.Pointer[http.Request]
	for _, server := range []*httptest.Server{overTCP, overTLS, overUnix} {
		server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Store(r.Clone(r.Context()))
			upgrades(t, answers(t)).ServeHTTP(w, r)
		})
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are to fail
		stopsAtEnd(t, server)
	}
	overTCP.Start()
	overUnix.Start()
	overTLS.StartTLS()
	tcp, secure := overTCP.Listener.Addr().String(), overTLS.Listener.Addr().String()
	ca := fixture.Write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: overTLS.Certificate().Raw})))
	otherCA := fixture.Write(t, "other.pem", newIdentity(t, fixture.Soon()).cert)
	const answered = `^configuration ok\n.*: upgraded in \S+s, answered a ping in \S+s\n$`

	for _, tc := range []struct {
		name    string
		environ []string
		host    string // what the service is asked for; "" if it is not reached
		stderr  string
	}{
		{"TCP", []string{"HOLDFAST_UPSTREAM=ws://" + tcp}, tcp, `^$`},
		{"TLS", []string{"HOLDFAST_UPSTREAM=wss://" + secure, "HOLDFAST_UPSTREAM_TLS_CA_FILE=" + ca}, secure, `^$`},
		{"TLS, unchecked", []string{"HOLDFAST_UPSTREAM=https://" + secure, "HOLDFAST_UPSTREAM_TLS_INSECURE=true"}, secure,
			`^warning: HOLDFAST_UPSTREAM_TLS_INSECURE="true" lets anyone .*\n$`},
		{"TLS of an unknown CA", []string{"HOLDFAST_UPSTREAM=wss://" + secure}, "", `: its certificate leads to no CA of this system \(.*unknown authority\); set HOLDFAST_UPSTREAM_TLS_CA_FILE to a file with the CA's certificate\n$`},
		{"TLS of another name", []string{"HOLDFAST_UPSTREAM=wss://" + secure, "HOLDFAST_UPSTREAM_TLS_CA_FILE=" + ca,
			"HOLDFAST_UPSTREAM_TLS_SERVER_NAME=elsewhere.example.net"}, "", `not elsewhere.example.net\); set HOLDFAST_UPSTREAM_TLS_SERVER_NAME to one that it is for\n$`},
		{"TLS of a CA that is another", []string{"HOLDFAST_UPSTREAM=wss://" + secure, "HOLDFAST_UPSTREAM_TLS_CA_FILE=" + otherCA}, "",
			`: its certificate leads to none of the CAs in HOLDFAST_UPSTREAM_TLS_CA_FILE=\S+ \(.*\); add the CA's certificate there\n$`},
		{"TLS that is none", []string{"HOLDFAST_UPSTREAM=wss://" + tcp}, "",
			`: it does not speak TLS \(.*does not look like a TLS handshake\); write ws:// in HOLDFAST_UPSTREAM, or correct the port\n$`},
		{"TLS that is not expected", []string{"HOLDFAST_UPSTREAM=http://" + secure}, "",
			`: it speaks TLS; write https:// in HOLDFAST_UPSTREAM\n$`},
		{"unix", []string{"HOLDFAST_UPSTREAM=unix:" + socket}, "localhost", `^$`},
		{"unix, nobody there", []string{"HOLDFAST_UPSTREAM=unix:" + socket + "x"}, "", `cannot connect: dial unix .*no such file or directory; start the service, or correct HOLDFAST_UPSTREAM\n$`},
		{"another host", []string{"HOLDFAST_UPSTREAM=unix:" + socket, "HOLDFAST_UPSTREAM_HOST=service.example:80"}, "service.example:80", `^$`},
		{"its own host", []string{"HOLDFAST_UPSTREAM=ws://" + tcp, "HOLDFAST_UPSTREAM_HOST=upstream"}, tcp, `^$`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := holdfast(append(tc.environ, "HOLDFAST_UPSTREAM_HEADERS=X-One=1;X-Two=2"), "check", "-connect")
			if tc.host == "" {
				got.matches(t, exitFailed, `^configuration ok\n$`, tc.stderr)
				return
			}
			got.matches(t, exitOK, answered, tc.stderr)
			if r := asked.Swap(nil); r == nil {
				t.Error("the service was not asked")
			} else if r.Host != tc.host || r.Header.Get("X-One") != "1" || r.Header.Get("X-Two") != "2" {
				t.Errorf("the service at %s was asked with %v", r.Host, r.Header)
			}
		})
	}
}

// The limit that holds is that of the process, which a shell sets.
func TestCheckWarnsOfTheDescriptorLimit(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", `ulimit -n 600 && exec "$0" check`, os.Args[0])
	cmd.Env = []string{runsMain + "=1", "GOMAXPROCS=2", someUpstream, "HOLDFAST_MAX_SESSIONS=1000"}
	out, err := cmd.CombinedOutput()
	want := `warning: HOLDFAST_MAX_SESSIONS="1000" is more than the limit of file descriptors allows, which is 600: at most 221 sessions hold; ` +
		"set at most that, or raise the limit (ulimit -Hn) to 2264\n" + checked
	if err != nil || string(out) != want {
		t.Errorf("got  %s, %v\nwant %s", out, err, want)
	}
}
