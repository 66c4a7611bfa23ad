package proxy_test

import (
	"encoding/json"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

// A logged line, as far as tests look at it.
type logged struct {
	Level, Msg, Session, Client, Path, Upstream string
	Result, Step, Why, Kind, Origin             string
	Status, Lines                               int
}

// wantsLine waits for a line with that message, and returns it.
func (r *rig) wantsLine(log *fixture.Transcript, message string) (line logged) {
	r.t.Helper()
	r.eventually("the log says "+message, func() bool {
		for text := range strings.Lines(log.String()) {
			line = logged{}
			if err := json.Unmarshal([]byte(text), &line); err == nil && line.Msg == message {
				return true
			}
		}
		return false
	})
	return line
}

// Who was refused, and why, stands in the log of an operator who changed nothing.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	pattern, err := proxy.ParseOrigin("https://app.example.com")
	if err != nil {
		t.Fatal(err)
	}
	answers := func(head string) func(*rig, *peer) {
		return func(r *rig, client *peer) {
			client.sendsString(wire.Request())
			upstream := r.accepts()
			upstream.wantsRequest()
			upstream.sendsString(head)
			upstream.hangsUp()
		}
	}
	asks := func(head string) func(*rig, *peer) {
		return func(_ *rig, client *peer) { client.sendsString(head) }
	}
	for name, test := range map[string]struct {
		happens func(r *rig, client *peer)
		want    logged
	}{
		"origin": {asks(wire.Request("Origin: https://elsewhere.example")),
			logged{Level: "INFO", Msg: "handshake refused", Path: "/chat", Result: "origin_denied", Status: 403, Why: "Pages of this origin may not open sessions here.", Origin: "https://elsewhere.example"}},
		"bad request": {asks("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
			logged{Level: "INFO", Msg: "handshake refused", Result: "bad_request", Status: 400}},
		"too large": {asks(wire.Request("X-Field: " + strings.Repeat("a", 64<<10))),
			logged{Level: "INFO", Msg: "handshake refused", Result: "limit", Status: 431}},
		"upstream's 403": {answers(wire.Head("HTTP/1.1 403 Forbidden", "Content-Length: 0")),
			logged{Level: "INFO", Msg: "handshake refused", Path: "/chat", Result: "upstream_refused", Status: 403, Why: "the upstream's answer"}},
		"upstream's 503": {answers(wire.Head("HTTP/1.1 503 Service Unavailable", "Content-Length: 0")),
			logged{Level: "INFO", Msg: "handshake refused", Path: "/chat", Result: "upstream_refused", Status: 503, Why: "the upstream's answer"}},
		"upstream's nonsense": {answers("220 mail.example\r\n\r\n"),
			logged{Level: "WARN", Msg: "handshake failed", Path: "/chat", Result: "upstream_invalid", Step: "upstream's answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log fixture.Transcript
			r := newRig(t, func(cfg *proxy.Config) {
				cfg.AllowedOrigins = []proxy.OriginPattern{pattern}
				cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
			})
			client := r.dials()
			test.happens(r, client)
			got := r.wantsLine(&log, test.want.Msg)
			if got.Session == "" || got.Client != client.conn.LocalAddr().String() {
				t.Errorf("the line names session %q of client %q, which is %v", got.Session, got.Client, client.conn.LocalAddr())
			}
			if test.want.Why == "" {
				got.Why = "" // package upgrade tests its words
			}
			got.Session, got.Client, got.Upstream = "", "", ""
			if got != test.want {
				t.Errorf("the log says %+v, want %+v", got, test.want)
			}
			client.hangsUp()
		})
	}
}

// Ids of two runs differ, so that the lines of a log that both have written do not mix.
func TestIdsDifferFromRunToRun(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 2 {
		r := newRig(t, nil)
		client, upstream := r.opens()
		client.hangsUp()
		upstream.hangsUp()
		id := r.wantsLine(&r.log, "session opened").Session
		if id == "" || id == "1" || seen[id] {
			t.Errorf("a session has the id %q", id)
		}
		seen[id] = true
	}
}

// An outage is told once, and not again for each client that it meets.
func TestOutageIsToldOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ ask, message string }{
		"page":    {page, "request failed"},
		"session": {wire.Request(), "handshake failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log fixture.Transcript
			r := newRig(t, func(cfg *proxy.Config) { cfg.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
			r.service.Close()
			for range 8 {
				client := r.dials()
				client.sendsString(test.ask)
				client.wantsStatus("nobody listens there", 502)
				client.tcp().Close()
			}
			warnings := strings.Count(log.String(), `"level":"WARN"`)
			down := strings.Count(log.String(), `"level":"WARN","msg":"upstream is down`)
			if tries := strings.Count(log.String(), test.message); tries != 8 || down != 1 || warnings > 3 {
				t.Errorf("the log has %d lines about clients and %d warnings, %d of them that the upstream is down:\n%s", tries, warnings, down, log.String())
			}
		})
	}
}

// While the service is known to be down, what it does to a client is not a warning.
func TestFailureWhileDownIsNotAWarning(t *testing.T) {
	t.Parallel()
	for who, ask := range map[string]string{"page": page, "session": wire.Request()} {
		for name, answer := range map[string]string{
			"no HTTP":              "220 mail.example\r\n\r\n",
			"a malformed length":   "HTTP/1.1 403 No\r\nContent-Length: some\r\n\r\n",
			"a body that is short": "HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nno",
		} {
			t.Run(who+", "+name, func(t *testing.T) {
				t.Parallel()
				var log fixture.Transcript
				r := newRig(t, func(cfg *proxy.Config) {
					cfg.HealthInterval, cfg.HealthPath = moment, "/health"
					cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
				})
				serves(t, r, func(conn net.Conn, path string) {
					if path == "/health" {
						answer := wire.Head("HTTP/1.1 500 Not well", "Content-Length: 0")
						_, _ = io.WriteString(conn, answer) // an error shows at the proxy
						return
					}
					_, _ = io.WriteString(conn, answer) // an error shows at the client
				})
				r.eventually("the service is down", func() bool { return !r.server.UpstreamUp() && strings.Contains(log.String(), "upstream is down") })
				client := r.dials()
				client.sendsString(ask)
				r.eventually("the failure is logged", func() bool {
					return strings.Contains(log.String(), `"path":"`)
				})
				for line := range strings.Lines(log.String()) {
					if strings.Contains(line, `"level":"WARN"`) && !strings.Contains(line, "upstream is down") {
						t.Errorf("the service is known to be down, and the log warns: %s", line)
					}
				}
				client.hangsUp()
			})
		}
	}
}

// serves makes the rig's service answer each request with raw bytes, and end the
// connection.
func serves(t *testing.T, r *rig, answers func(conn net.Conn, path string)) {
	service := http.Server{ErrorLog: stdlog.New(io.Discard, "", 0), TLSConfig: serverTLS()}
	service.Handler = http.HandlerFunc(func(w http.ResponseWriter, asked *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("take the connection: %v", err)
			return
		}
		defer conn.Close()
		answers(conn, asked.URL.Path)
	})
	t.Cleanup(func() { service.Close() })
	if r.tls.upstream {
		go service.ServeTLS(r.service, "", "")
	} else {
		go service.Serve(r.service)
	}
}

// Heads count as bytes of their legs, and so does every byte of a frame. TLS does not.
func TestWhatCountsAsAByte(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]func(*proxy.Config){
		"without TLS":             nil,
		"with TLS to the service": secureUpstream,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ended *proxy.Ended
			told := make(chan struct{})
			r := newRig(t, func(cfg *proxy.Config) {
				cfg.Client.Interval, cfg.UpstreamSide.Interval = 0, 0
				cfg.Ended = func(e *proxy.Ended) { ended = e; close(told) }
				if secure != nil {
					secure(cfg)
				}
			})
			client := r.dials()
			request := wire.Request()
			client.sendsString(request)
			upstream := r.accepts()
			answer := wire.Answer(upstream.wantsRequest())
			upstream.sendsString(answer)
			client.wantsSwitch()
			client.sends(wire.Text("hello"), wire.Ping("x"))
			upstream.wants("it is passed on", wire.Text("hello"))
			client.wants("the ping is answered here", wire.Pong("x"))
			client.sends(wire.Close(1000, ""))
			upstream.wants("it is passed on", wire.Close(1000, ""))
			upstream.sends(wire.Close(1000, ""))
			client.wants("it is passed on", wire.Close(1000, ""))
			client.hangsUp()
			upstream.hangsUp()
			<-told
			const (
				header, mask = 2, 4
				text, ping   = 5, 1
				code         = 2
			)
			c, u := ended.Legs[0], ended.Legs[1]
			if want := uint64(len(request) + 3*(header+mask) + text + ping + code); c.Received != want && !r.tls.client {
				t.Errorf("%d bytes of the client count, want %d", c.Received, want)
			}
			if want := uint64(len(answer) + header + code); u.Received != want {
				t.Errorf("%d bytes of the upstream count, want %d", u.Received, want)
			}
			r.wantsNoSessions()
			if n := r.metric("received_bytes_total{client}"); n != int(c.Received) {
				t.Errorf("the metric has %d bytes of the client, the end %d", n, c.Received)
			}
			if n := r.metric("sent_bytes_total{client}"); n != int(c.Sent) {
				t.Errorf("the metric has %d bytes to the client, the end %d", n, c.Sent)
			}
		})
	}
}
