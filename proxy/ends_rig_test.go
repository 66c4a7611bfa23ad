package proxy_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

const short = 150 * time.Millisecond

// A close handshake ends with the end of TCP in the order of RFC 6455 7.1.1.
func TestCloseHandshake(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	begins, answers := wire.Close(4001, "grüße, 世界"), wire.Close(1000, "bye")
	client, upstream := r.opens()
	client.sends(begins)
	upstream.wants("the client's Close", begins)
	upstream.sends(wire.Text("last words"), answers)
	client.wants("the upstream's answer", wire.Text("last words"), answers)
	upstream.finishes("nothing follows a Close")
	client.wantsEnd("the close handshake is complete")
	client.hangsUp()

	client, upstream = r.opens()
	upstream.sends(begins)
	client.wants("the upstream's Close", begins)
	client.sends(answers)
	upstream.wants("the client's answer", answers)
	upstream.finishes("nothing follows a Close")
	client.wantsEnd("the close handshake is complete")
	client.hangsUp()
	r.wantsCounts(counts{"ok": 2, "opened": 2, "closed client": 1, "closed upstream": 1})
}

// The kernel tells an end of TCP from a reset.
func TestEndAndResetAreCounted(t *testing.T) {
	t.Parallel()
	for reason, leaves := range map[string]func(*peer){"eof": (*peer).hangsUp, "reset": (*peer).resets} {
		t.Run("client "+reason, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream := r.opens()
			client.sends(wire.Text("last words"))
			upstream.wants("last words", wire.Text("last words"))
			leaves(client)
			upstream.wants("the client is gone", wire.Close(1001, "client connection lost"))
			upstream.finishes("nothing follows a Close")
			r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client " + reason: 1})
		})
		t.Run("upstream "+reason, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream := r.opens()
			upstream.sends(wire.Text("last words"))
			client.wants("last words", wire.Text("last words"))
			leaves(upstream)
			client.wants("the upstream is gone", wire.Close(1012, "upstream connection lost"))
			client.hangsUp()
			r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped upstream " + reason: 1})
		})
	}
}

// What a peer said before its FIN reaches the other, however much it is.
func TestLastWordsOfThePeerThatLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opensWith(r.dialsNarrowly(), nil, nil)
	sent := bulk(5, 8<<20, false)
	go func() {
		_, _ = upstream.conn.Write(sent)
		upstream.hangsUp()
	}()
	r.eventually("the client is slow", func() bool { return r.metric("reads_paused{upstream}") == 1 })
	client.wantsBytes("all that was sent", sent)
	client.wants("then the upstream was gone", wire.Close(1012, "upstream connection lost"))
	client.hangsUp()
	r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped upstream eof": 1})
}

// Real sockets fill far later than those of a stage. What the proxy holds is the same.
func TestReceiverThatTakesNothingIsDropped(t *testing.T) {
	t.Parallel()
	for side, told := range map[string]int{"client": 1001, "upstream": 1012} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) { cfg.WriteTimeout = 2 * short })
			client, upstream := r.opensWith(r.dialsNarrowly(), nil, nil)
			from, to := upstream, client
			if side == "upstream" {
				from, to = client, upstream
			}
			go floods(from)
			go func() {
				defer from.hangsUp()
				if f, err := from.reads(); f.Code() != told {
					t.Errorf("it is the %s's fault: the %s wants a Close %d, got %v, %v", side, from.name, told, f, err)
				}
			}()
			count := "dropped " + side + " write_timeout"
			r.wantsBoundedUntil(count)
			_, _ = io.Copy(io.Discard, to.in) // what the kernel held, then the cut
			r.wantsNoSessions()
			r.wantsCounts(counts{"ok": 1, "opened": 1, count: 1})
		})
	}
}

// floods sends frames for as long as the connection stands.
func floods(p *peer) {
	b := wire.Encode(p.masks(), wire.Binary(strings.Repeat("x", 60000)))
	for {
		if _, err := p.conn.Write(b); err != nil {
			return
		}
	}
}

// wantsBoundedUntil watches what is buffered while a receiver takes nothing,
// until the session is counted as that.
func (r *rig) wantsBoundedUntil(count string) {
	r.t.Helper()
	r.eventually("a leg is full", func() bool {
		return r.metric("reads_paused{client}")+r.metric("reads_paused{upstream}") > 0
	})
	r.eventually(count, func() bool {
		for _, side := range []string{"client", "upstream"} {
			if n := r.metric("buffered_bytes{" + side + "}"); n > 64<<10 {
				r.t.Fatalf("%d bytes are buffered for the %s", n, side)
			}
		}
		return r.counts()[count] > 0
	})
}

// An offender is told what was wrong, over real sockets and TLS.
func TestOffenderIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	client.sends(wire.Text("good"), wire.Text("x").Reserved(1))
	upstream.wants("the good before the bad", wire.Text("good"))
	upstream.wantsClose("the client broke the protocol", 1001)
	upstream.sends(wire.Text("echo"), wire.Close(1001, "swallowed"))
	client.wants("the answer to the good", wire.Text("echo"))
	client.wantsClose("it broke the protocol", 1002)
	client.wantsEnd("nothing follows a Close")
	client.hangsUp()
	upstream.finishes("nothing follows a Close")
	r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client protocol_error": 1})
}
