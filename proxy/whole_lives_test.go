package proxy

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/heartbeat"
)

// inventedRequest is a handshake, and its key the one of RFC 6455 1.3.
const (
	inventedRequest = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	inventedAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// opens leads a client and the upstream through a handshake.
func (w *inventedWorld) opens() (client, upstream *inventedSocket) {
	w.t.Helper()
	client = w.dials()
	w.sends(client, []byte(inventedRequest))
	if len(w.kernel.dialled) == 0 {
		w.t.Fatalf("the upstream was not dialled; the client is told %q", w.takes(client))
	}
	upstream, w.kernel.dialled = w.kernel.dialled[0], w.kernel.dialled[1:]
	key := fieldOf(w.takes(upstream), "Sec-WebSocket-Key")
	w.sends(upstream, []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+acceptFor(key)+"\r\n\r\n"))
	if got := w.takes(client); !strings.HasPrefix(got, "HTTP/1.1 101 ") || fieldOf(got, "Sec-WebSocket-Accept") != inventedAccept {
		w.t.Fatalf("the client is told %q", got)
	}
	return client, upstream
}

func acceptFor(key string) string {
	if key != "dGhlIHNhbXBsZSBub25jZQ==" {
		panic("the upstream is asked with another key: " + key)
	}
	return inventedAccept
}

func fieldOf(head, name string) string {
	for line := range strings.SplitSeq(head, "\r\n") {
		if value, is := strings.CutPrefix(line, name+": "); is {
			return value
		}
	}
	return ""
}

// ends are the ways in which the sessions of TestWholeLives end, and how each is counted.
var ends = []struct {
	counted string
	how     func(w *inventedWorld, c, u *inventedSocket)
}{
	{`holdfast_sessions_closed_total{side="client"}`, func(w *inventedWorld, c, u *inventedSocket) {
		w.sends(c, bye(1000, "").encode(true))
		w.sends(u, bye(1000, "").encode(false))
		w.hangsUp(u)
		w.hangsUp(c)
	}},
	{`holdfast_sessions_closed_total{side="upstream"}`, func(w *inventedWorld, c, u *inventedSocket) {
		w.sends(u, bye(4000, "x").encode(false))
		w.sends(c, bye(4000, "x").encode(true))
		w.hangsUp(c)
		w.hangsUp(u)
	}},
	{`holdfast_sessions_dropped_total{reason="eof",side="client"}`, func(w *inventedWorld, c, u *inventedSocket) {
		w.hangsUp(c)
		w.hangsUp(u)
	}},
	{`holdfast_sessions_dropped_total{reason="eof",side="upstream"}`, func(w *inventedWorld, c, u *inventedSocket) {
		w.hangsUp(u)
		w.hangsUp(c)
	}},
	{`holdfast_sessions_dropped_total{reason="protocol_error",side="client"}`, func(w *inventedWorld, c, u *inventedSocket) {
		w.sends(c, msg{op: 3, fin: true}.encode(true))
		w.hangsUp(u)
		w.hangsUp(c)
	}},
	{`holdfast_sessions_dropped_total{reason="close_timeout",side="upstream"}`, func(w *inventedWorld, c, u *inventedSocket) {
		w.sends(c, bye(1000, "").encode(true))
		w.takes(u)
		w.pass(10 * time.Second)
		w.hangsUp(c)
	}},
	{`holdfast_sessions_dropped_total{reason="ping_timeout",side="client"}`, func(w *inventedWorld, c, u *inventedSocket) {
		w.pass(21 * time.Second)
		w.takes(c)
		w.pass(20 * time.Second)
		w.hangsUp(u)
	}},
	{`holdfast_sessions_dropped_total{reason="write_timeout",side="client"}`, func(w *inventedWorld, c, u *inventedSocket) {
		w.takes(c)
		_, _ = u.Write(bin(strings.Repeat("z", 60_000)).encode(false))
		w.run()
		_, _ = u.Write(bin(strings.Repeat("z", 60_000)).encode(false))
		w.run()
		w.pass(30 * time.Second)
		w.hangsUp(u)
	}},
}

// Whole lives pass without a descriptor: accept, handshake, frames, heartbeats and
// each kind of end. A loop asks nothing but its kernel, its clock and its source.
func TestWholeLives(t *testing.T) {
	before := descriptors(t)
	for _, end := range ends {
		t.Run(end.counted, func(t *testing.T) {
			w := newInventedWorld(t, func(c *Config) { c.UpstreamSide.Pong = heartbeat.IgnorePong })
			c, u := w.opens()
			w.sends(c, text("hello").encode(true))
			if got := w.takes(u); got != string(text("hello").encode(true)) {
				t.Errorf("the upstream got %q", got)
			}
			w.sends(u, bin("world").encode(false))
			if got := w.takes(c); got != string(bin("world").encode(false)) {
				t.Errorf("the client got %q", got)
			}
			end.how(w, c, u)
			w.over(end.counted, 1)
		})
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before: something asks the real kernel", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// over checks that so many sessions, all that there were, have ended like that and
// left nothing behind.
func (w *inventedWorld) over(counted string, n float64) {
	w.t.Helper()
	got := scrape(w.t, w.server.cfg.Metrics)
	if got[counted] != n || got["holdfast_sessions_opened_total"] != n || got["holdfast_sessions_active"] != 0 {
		w.t.Errorf("%s is %v, %v opened and %v active, want %v, %v and 0", counted, got[counted],
			got["holdfast_sessions_opened_total"], got["holdfast_sessions_active"], n, n)
	}
	if w.l.table.live != 0 || len(w.kernel.sockets) != 0 || w.server.live.Load() != 0 {
		w.t.Errorf("%d sessions, %d sockets and %d clients are left", w.l.table.live, len(w.kernel.sockets), w.server.live.Load())
	}
}

// So many heartbeats fall due together that the loop looks for events between them.
func TestManyTimersAtOnce(t *testing.T) {
	w := newInventedWorld(t, func(c *Config) { c.UpstreamSide.Interval = 0 })
	const sessions = 4 * alarmsInARow
	var clients []*inventedSocket
	for range sessions {
		c, _ := w.opens()
		clients = append(clients, c)
	}
	for range 5 {
		w.pass(20 * time.Second)
		for i, c := range clients {
			ping := []byte(w.takes(c))
			if len(ping) != 10 || ws.OpCode(ping[0]&15) != ws.OpPing {
				t.Fatalf("client %d got % x, want a ping", i, ping)
			}
			w.sends(c, pong(string(ping[2:])).encode(true))
		}
	}
	got := scrape(t, w.server.cfg.Metrics)
	if n := got[`holdfast_pongs_received_total{side="client"}`]; n != 5*sessions {
		t.Errorf("%v pongs are counted, want %d", n, 5*sessions)
	}
}

// A stop ends handshakes and sessions in every step.
func TestStopOfManyLives(t *testing.T) {
	w := newInventedWorld(t, nil)
	c, u := w.opens()
	silent := w.dials()
	asking := w.dials()
	w.sends(asking, []byte(inventedRequest))
	asked := w.kernel.dialled[0]
	w.l.drain()
	w.run()
	if got := w.takes(asking); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("a handshake under way is told %q", got)
	}
	if got := w.takes(silent); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("a client that has said nothing is told %q", got)
	}
	if got := w.takes(c); got != string(bye(1012, "proxy is shutting down").encode(false)) {
		t.Errorf("the client of a session is told %q", got)
	}
	for _, s := range []*inventedSocket{c, u, silent, asking, asked} {
		w.hangsUp(s)
	}
	w.over(`holdfast_sessions_dropped_total{reason="drain",side="proxy"}`, 1)
}

// A refusal of the invented kernel is one of the upstream.
func TestInventedRefusal(t *testing.T) {
	w := newInventedWorld(t, nil)
	w.kernel.refuses = true
	c := w.dials()
	w.sends(c, []byte(inventedRequest))
	if got := w.takes(c); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Errorf("the client is told %q", got)
	}
	w.hangsUp(c)
	if left := fmt.Sprint(len(w.kernel.sockets), w.server.live.Load()); left != "0 0" {
		t.Errorf("sockets and clients that are left: %s", left)
	}
}
