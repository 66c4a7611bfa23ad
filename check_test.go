package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"github.com/gobwas/ws"
)

// service is an upstream that upgrades every request and then behaves as told.
func service(t *testing.T, behave func(conn net.Conn)) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Errorf("the upgrade was refused: %v", err)
			return
		}
		defer conn.Close()
		behave(conn)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// read returns the next frame that the client sends, unmasked.
func read(t *testing.T, conn net.Conn) ws.Frame {
	t.Helper()
	//lint:ignore SA1019 the input is the test's own, and bounded
	frame, err := ws.ReadFrame(conn)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	if !frame.Header.Masked {
		t.Error("a client's frame was not masked")
	}
	return ws.UnmaskFrameInPlace(frame)
}

func TestCheckConnect(t *testing.T) {
	answers := func(conn net.Conn) {
		ws.WriteFrame(conn, ws.NewTextFrame([]byte("welcome"))) // perhaps in one packet with the 101
		p := read(t, conn)
		ws.WriteFrame(conn, ws.NewPongFrame([]byte("else")))
		ws.WriteFrame(conn, ws.NewPongFrame([]byte("unasked")))
		ws.WriteFrame(conn, ws.NewPongFrame(p.Payload))
		if farewell := read(t, conn); farewell.Header.OpCode != ws.OpClose {
			t.Errorf("after the pong came opcode %v, want a Close", farewell.Header.OpCode)
		}
	}
	silent := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	closes := func(conn net.Conn) {
		read(t, conn)
		ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusPolicyViolation, "no")))
	}
	hangsUp := func(conn net.Conn) { read(t, conn) }

	const soon = "HOLDFAST_UPSTREAM_PING_TIMEOUT=1ms"
	for _, tc := range []struct {
		name           string
		behave         func(net.Conn)
		environ        []string
		code           int
		stdout, stderr string // patterns
	}{
		{"answers", answers, nil, 0, `^configuration ok\nws://\S+: upgraded in \S+s, answered a ping in \S+s\n$`, `^$`},
		{"silent", silent, []string{soon}, 0,
			`: upgraded in \S+s, did not answer a ping within 1ms, and will not be held to it\n$`, `^$`},
		{"silent, though it must answer", silent, []string{soon, "HOLDFAST_UPSTREAM_PONG=require"}, 1,
			`^configuration ok\n$`, `^ws://\S+: upgraded in \S+s, did not answer a ping within 1ms; HOLDFAST_UPSTREAM_PONG=require would drop its sessions\n$`},
		{"silent, without a deadline", silent, []string{"HOLDFAST_UPSTREAM_PING_TIMEOUT=0", "HOLDFAST_UPSTREAM_PONG=require", "HOLDFAST_HANDSHAKE_TIMEOUT=200ms"}, 0,
			`: upgraded in \S+s, did not answer a ping within 200ms, and will not be held to it\n$`, `^$`},
		{"closes", closes, nil, 1, `^configuration ok\n$`, `: upgraded in \S+s, then: it sent a Close instead of answering a ping\n$`},
		{"hangs up", hangsUp, nil, 1, `^configuration ok\n$`, `: upgraded in \S+s, then: no answer to a ping: EOF\n$`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			environ := append(tc.environ, "HOLDFAST_UPSTREAM=ws://"+service(t, tc.behave))
			holdfast(environ, "check", "-connect").matches(t, tc.code, tc.stdout, tc.stderr)
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
	environ := []string{"HOLDFAST_UPSTREAM=" + server.URL}
	holdfast(environ, "check", "-connect").matches(t, exitFailed, `^configuration ok\n$`, `refused the upgrade with HTTP status 404\n$`)
	server.Close()
	holdfast(environ, "check", "-connect").matches(t, exitFailed, `^configuration ok\n$`, `cannot upgrade: dial tcp .* connection refused\n$`)
}

func TestProbeURL(t *testing.T) {
	for upstream, want := range map[string]string{
		"ws://h":            "ws://h/",
		"http://h:9000/":    "ws://h:9000/",
		"http://h/app/":     "ws://h/app/",
		"ws://h/a%2Fb":      "ws://h/a%2Fb/",
		"ws://[::1]:9000/a": "ws://[::1]:9000/a/",
	} {
		u, err := url.Parse(upstream)
		if err != nil {
			t.Fatal(err)
		}
		if got := probeURL(u); got != want {
			t.Errorf("probeURL(%s) = %s, want %s", upstream, got, want)
		}
	}
}
