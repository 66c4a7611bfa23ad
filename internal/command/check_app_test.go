package command

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
)

// check -connect sends the application's heartbeat as a session would. An upstream that does
// not answer it is not held to it, and one that ends the session fails the check.
func TestCheckConnectWithAnApplicationHeartbeat(t *testing.T) {
	const asked = `{"type":"ping"}`
	// afterThePing is a service that answers pings, and behaves so when it gets the heartbeat.
	afterThePing := func(behave func(conn net.Conn)) func(net.Conn) {
		return func(conn net.Conn) {
			p := reads(t, conn)
			sends(conn, wire.Text(`{"type":"pong"}`), wire.Pong(p.Payload)) // the message answers nothing
			if got := reads(t, conn); got != wire.Text(asked) {
				t.Errorf("got %v, want the heartbeat", got)
			}
			behave(conn)
		}
	}
	says := func(frames ...wire.Frame) func(net.Conn) {
		return afterThePing(func(conn net.Conn) {
			sends(conn, frames...)
			next := reads(t, conn)
			if next.Op == ws.OpPing {
				sends(conn, wire.Pong(next.Payload))
				next = reads(t, conn)
			}
			if next.Op != ws.OpClose {
				t.Errorf("at last came %v, want a Close", next)
			}
		})
	}
	silent := afterThePing(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	endsFor := func(frames ...wire.Frame) func(net.Conn) {
		return afterThePing(func(conn net.Conn) { sends(conn, frames...) })
	}
	withoutPongs := func(conn net.Conn) {
		reads(t, conn)
		reads(t, conn)
		sends(conn, wire.Text(`{"type":"pong"}`))
		if farewell := reads(t, conn); farewell.Op != ws.OpClose {
			t.Errorf("after the answer came %v, want a Close", farewell)
		}
	}
	withoutEchoes := func(conn net.Conn) {
		reads(t, conn)
		sends(conn, wire.Pong(""))
		reads(t, conn)
		sends(conn, wire.Close(1000, reads(t, conn).Reason()))
	}
	long := wire.Text(strings.Repeat("x", 3000))
	fragments := []wire.Frame{wire.Text(`{"type":`).More(), wire.Ping("now?"), wire.Continuation(`"po`).More(), wire.Continuation(`ng"}`)}

	const (
		ping   = "HOLDFAST_UPSTREAM_APP_PING=" + asked
		pong   = `HOLDFAST_UPSTREAM_APP_PONG={"type":"pong"}`
		noted  = `^configuration ok\npermessage-deflate is not offered .*\n`
		begins = `: upgraded in \S+s, answered a ping in \S+s`
		soon   = "HOLDFAST_UPSTREAM_PING_TIMEOUT=300ms"
	)
	for _, tc := range []struct {
		name           string
		behave         func(net.Conn)
		environ        []string
		code           int
		stdout, stderr string // patterns
	}{
		{"answers", says(wire.Text(`{"type":"pong"}`)), []string{ping, pong}, exitOK,
			noted + `ws://\S+` + begins + `, answered the application heartbeat in \S+s\n$`, `^$`},
		{"answers with a number", says(wire.Text(`{"pong":17}`)), []string{ping, `HOLDFAST_UPSTREAM_APP_PONG={"pong":*}`}, exitOK,
			begins + `, answered the application heartbeat in \S+s\n$`, `^$`},
		{"answers among other messages", says(wire.Text("news"), wire.Binary(`{"type":"pong"}`), long, wire.Text(`{"type":"pong"}`)), []string{ping, pong}, exitOK,
			begins + `, answered the application heartbeat in \S+s\n$`, `^$`},
		{"answers in fragments", says(fragments...), []string{ping, pong}, exitOK,
			begins + `, answered the application heartbeat in \S+s\n$`, `^$`},
		{"answers, and no pings", withoutPongs, []string{ping, pong, soon}, exitOK,
			`: upgraded in \S+s, did not answer a ping within HOLDFAST_UPSTREAM_PING_TIMEOUT=300ms, and will not be held to it, answered the application heartbeat in \S+s\n$`, `^$`},
		{"silent", silent, []string{ping, pong, soon}, exitOK,
			begins + `; did not answer HOLDFAST_UPSTREAM_APP_PING as HOLDFAST_UPSTREAM_APP_PONG says within HOLDFAST_UPSTREAM_PING_TIMEOUT=300ms, and will not be held to it before it has answered once\n$`, `^$`},
		{"answers something else", says(wire.Text(`{"type": "pong"}`)), []string{ping, pong, soon}, exitOK,
			`; did not answer HOLDFAST_UPSTREAM_APP_PING as HOLDFAST_UPSTREAM_APP_PONG says within `, `^$`},
		{"closes", endsFor(wire.Close(1003, "what")), []string{ping, pong}, exitFailed, noted + `$`,
			begins + `, then: it sent a Close with code 1003 and reason "what" instead of answering HOLDFAST_UPSTREAM_APP_PING; the service's own log may say why; it may not know this message, or want others before; correct the variable, or unset it\n$`},
		{"closes between fragments", endsFor(fragments[0], wire.Close(1003, "")), []string{ping, pong}, exitFailed, noted + `$`,
			begins + `, then: it sent a Close with code 1003 and reason "" instead of answering HOLDFAST_UPSTREAM_APP_PING; `},
		{"hangs up", endsFor(), []string{ping, pong}, exitFailed, noted + `$`,
			begins + `, then: it ended the connection instead of answering HOLDFAST_UPSTREAM_APP_PING\n$`},
		{"breaks the protocol between fragments", endsFor(fragments[0], wire.Text("new")), []string{ping, pong}, exitFailed, noted + `$`,
			begins + `, then: it broke the protocol, for which its sessions would be dropped: new message inside a fragmented message; that is the service's to correct\n$`},
		{"needs no answer", says(), []string{ping}, exitOK,
			`^configuration ok\nws://\S+` + begins + `; was sent HOLDFAST_UPSTREAM_APP_PING and did not end the session for it; no answer is configured \(HOLDFAST_UPSTREAM_APP_PONG\)\n$`, `^$`},
		{"needs no answer, and closes", endsFor(wire.Close(1003, "")), []string{ping}, exitFailed, `^configuration ok\n$`,
			begins + `, then: it sent a Close with code 1003 and reason "" instead of answering HOLDFAST_UPSTREAM_APP_PING; `},
		{"needs no answer, and does not echo", withoutEchoes, []string{ping}, exitOK,
			` with another payload, which HOLDFAST_LIVENESS=any accepts; was sent HOLDFAST_UPSTREAM_APP_PING; no answer is configured \(HOLDFAST_UPSTREAM_APP_PONG\)\n$`, `^$`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			environ := append(tc.environ, "HOLDFAST_UPSTREAM=ws://"+service(t, tc.behave))
			holdfast(environ, "check", "-connect").matches(t, tc.code, tc.stdout, tc.stderr)
		})
	}
}
