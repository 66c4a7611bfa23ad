package proxy_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

const short = 150 * time.Millisecond

// Every Close passes as it is, with its answer, whoever begins.
func TestCloseIsVerbatim(t *testing.T) {
	t.Parallel()
	var closes []wire.Frame
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		closes = append(closes, wire.Close(code, ""))
	}
	closes = append(closes, wire.EmptyClose(), wire.Close(1000, "bye"), wire.Close(4001, "grüße, 世界"), wire.Close(1008, strings.Repeat("r", 123)))
	r := newRig(t, nil)
	for i, c := range closes {
		client, upstream := r.opens()
		client.sends(c, wire.Text("RFC 6455 1.4: this is discarded"))
		upstream.wants("the client's Close", c)
		other := closes[len(closes)-1-i]
		upstream.sends(other)
		client.wants("the upstream's answer", other)
		upstream.finishes("nothing follows a Close")
		client.wantsEnd("the close handshake is complete")
		client.hangsUp()

		client, upstream = r.opens()
		upstream.sends(c)
		client.wants("the upstream's Close", c)
		client.sends(other, wire.Text("RFC 6455 1.4: this is discarded"))
		upstream.wants("the client's answer", other)
		upstream.finishes("nothing follows a Close")
		client.wantsEnd("the close handshake is complete")
		client.hangsUp()
	}
	n := len(closes)
	r.wantsCounts(counts{"ok": 2 * n, "opened": 2 * n, "closed client": n, "closed upstream": n})
}

// Until the other peer answers a Close, its data goes on.
func TestDataBeforeTheAnswerToAClose(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	client.sends(wire.Close(1000, "bye"))
	upstream.wants("the client's Close", wire.Close(1000, "bye"))
	upstream.sends(wire.Text("one"), wire.Binary("more"), wire.Close(1000, "bye"))
	client.wants("said before the Close", wire.Text("one"), wire.Binary("more"), wire.Close(1000, "bye"))
	upstream.finishes("the close handshake is complete")
	client.wantsEnd("the close handshake is complete")
	client.hangsUp()
	r.wantsCounts(counts{"ok": 1, "opened": 1, "closed client": 1})
}

func TestBothBeginToClose(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	client.sends(wire.Close(4001, "client's"))
	upstream.sends(wire.Close(4002, "upstream's"))
	client.wants("the other's Close", wire.Close(4002, "upstream's"))
	upstream.wants("the other's Close", wire.Close(4001, "client's"))
	upstream.finishes("nothing follows a Close")
	client.wantsEnd("nothing follows a Close")
	client.hangsUp()
	r.wantsNoSessions()
	if got := r.counts(); got["closed client"]+got["closed upstream"] != 1 {
		t.Errorf("the session was not closed: %v", got)
	}
}

// A Close whose answer never comes is answered with its own code.
func TestCloseIsNotAnswered(t *testing.T) {
	t.Parallel()
	for _, ends := range []bool{true, false} {
		for _, beginner := range []string{"client", "upstream"} {
			name, reason := "by the "+beginner+", the other is silent", "close_timeout"
			if ends {
				name, reason = "by the "+beginner+", the other ends its TCP", "eof"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(cfg *proxy.Config) {
					if !ends {
						cfg.CloseTimeout = short
					}
				})
				client, upstream := r.opens()
				from, to := client, upstream
				if beginner == "upstream" {
					from, to = upstream, client
				}
				from.sends(wire.Close(4001, "bye"))
				to.wants("the Close", wire.Close(4001, "bye"))
				if ends {
					to.hangsUp()
				}
				from.wantsClose("its own code is echoed", 4001)
				from.hangsUp()
				r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped " + to.name + " " + reason: 1})
			})
		}
	}
}

func TestTCPEndsWithoutAClose(t *testing.T) {
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
			upstream.sends(wire.Text("too late"), wire.Close(1001, ""))
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
			client.sends(wire.Text("too late"), wire.Close(1012, ""))
			client.wantsEnd("nothing follows a Close")
			client.hangsUp()
			r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped upstream " + reason: 1})
		})
		for _, side := range []string{"client", "upstream"} {
			t.Run(side+" inside of a frame, "+reason, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				client, upstream := r.opens()
				from, to := client, upstream
				if side == "upstream" {
					from, to = upstream, client
				}
				whole := wire.Encode(from.masks(), wire.Text("this will never be whole"))
				part := whole[:len(whole)-3]
				from.sendsBytes(part)
				to.wantsBytes("data is not held back", part)
				leaves(from)
				to.wantsCut("there can be no Close inside of a frame")
				to.hangsUp()
				r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped " + side + " " + reason: 1})
			})
			t.Run(side+" inside of a message, "+reason, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				client, upstream := r.opens()
				from, to, code := client, upstream, 1001
				if side == "upstream" {
					from, to, code = upstream, client, 1012
				}
				from.sends(wire.Text("to be continued").More())
				to.wants("data is not held back", wire.Text("to be continued").More())
				leaves(from)
				to.wantsClose("a Close may stand between fragments", code)
				to.hangsUp()
				r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped " + side + " " + reason: 1})
			})
		}
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

func TestReceiverThatNeverReads(t *testing.T) {
	t.Parallel()
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(cfg *proxy.Config) { cfg.WriteTimeout = 2 * short })
		client, upstream := r.opensWith(r.dialsNarrowly(), nil, nil)
		go floods(upstream)
		go func() {
			defer upstream.hangsUp()
			if f, err := upstream.reads(); f.Code() != 1001 {
				t.Errorf("it is the client's fault: the upstream wants a Close 1001, got %v, %v", f, err)
			}
		}()
		r.wantsBoundedUntil("dropped client write_timeout")
		_, _ = io.Copy(io.Discard, client.in) // what the kernel held, then the cut
		r.wantsNoSessions()
		r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client write_timeout": 1})
	})
	t.Run("upstream", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(cfg *proxy.Config) { cfg.WriteTimeout = 2 * short })
		client, upstream := r.opens()
		go floods(client)
		go func() {
			defer client.hangsUp()
			if f, err := client.reads(); f.Code() != 1012 {
				t.Errorf("it is the upstream's fault: the client wants a Close 1012, got %v, %v", f, err)
			}
		}()
		r.wantsBoundedUntil("dropped upstream write_timeout")
		_, _ = io.Copy(io.Discard, upstream.in)
		r.wantsNoSessions()
		r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped upstream write_timeout": 1})
	})
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

// A violation is bytes that RFC 6455 forbids, and the code that its sender is told.
type violation struct {
	name string
	code int
	sent func(masked bool) []byte
}

func violations() []violation {
	frames := func(frames ...wire.Frame) func(bool) []byte {
		return func(masked bool) []byte { return wire.Encode(masked, frames...) }
	}
	list := []violation{
		{"wrong mask", 1002, func(masked bool) []byte { return wire.Encode(!masked, wire.Text("x")) }},
		{"wrong mask of a ping", 1002, func(masked bool) []byte { return wire.Encode(!masked, wire.Ping("x")) }},
		{"RSV1 that was not negotiated", 1002, frames(wire.Text("x").Reserved(4))},
		{"RSV2", 1002, frames(wire.Text("x").Reserved(2))},
		{"RSV3", 1002, frames(wire.Binary("x").Reserved(1))},
		{"RSV1 of a ping", 1002, frames(wire.Ping("x").Reserved(4))},
		{"ping in fragments", 1002, frames(wire.Ping("x").More())},
		{"Close in fragments", 1002, frames(wire.Close(1000, "").More())},
		{"ping of 126 bytes", 1002, frames(wire.Ping(strings.Repeat("x", 126)))},
		{"Close of 126 bytes", 1002, frames(wire.Close(1000, strings.Repeat("x", 124)))},
		{"continuation of nothing", 1002, frames(wire.Continuation("x"))},
		{"continuation after the end", 1002, frames(wire.Text("a").More(), wire.Continuation("b"), wire.Continuation("x"))},
		{"message inside of a message", 1002, frames(wire.Text("a").More(), wire.Text("x"))},
		{"16-bit length that is small", 1002, lengthForm(126, 0, 125)},
		{"64-bit length that is small", 1002, lengthForm(127, 0, 0, 0, 0, 0, 0, 0xff, 0xff)},
		{"64-bit length with its top bit set", 1002, lengthForm(127, 0x80, 0, 0, 0, 0, 0, 0, 0)},
		{"Close of one byte", 1002, frames(wire.Frame{Op: ws.OpClose, Fin: true, Payload: "\x03"})},
		{"Close reason that is no UTF-8", 1007, frames(wire.Close(1000, "\xff\xfe"))},
		{"Close reason cut inside of a rune", 1007, frames(wire.Close(1000, "\xe4\xb8"))},
	}
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		list = append(list, violation{fmt.Sprintf("opcode %#x", op), 1002, frames(wire.Frame{Op: op, Fin: true})})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 5000, 65535} {
		list = append(list, violation{fmt.Sprintf("Close code %d", code), 1002, frames(wire.Close(code, ""))})
	}
	return list
}

// lengthForm is a binary frame's header with its length spelt out.
func lengthForm(first byte, rest ...byte) func(bool) []byte {
	return func(masked bool) []byte {
		b := append([]byte{0x82, first}, rest...)
		if masked {
			b[1] |= 0x80
			b = append(b, 1, 2, 3, 4)
		}
		return b
	}
}

// good is what of a violation's bytes is right and must arrive.
func (v violation) good() []wire.Frame {
	switch v.name {
	case "continuation after the end":
		return []wire.Frame{wire.Text("a").More(), wire.Continuation("b")}
	case "message inside of a message":
		return []wire.Frame{wire.Text("a").More()}
	}
	return nil
}

// The offender sees the answers to what it did right before it is told what was
// wrong, as from a server without a proxy.
func TestViolations(t *testing.T) {
	t.Parallel()
	for _, v := range violations() {
		t.Run("client: "+v.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream := r.opens()
			client.sendsBytes(append(wire.Encode(true, wire.Text("good")), v.sent(true)...))
			upstream.wants("the good before the bad", append([]wire.Frame{wire.Text("good")}, v.good()...)...)
			upstream.wantsClose("the client broke the protocol", 1001)
			upstream.sends(wire.Text("echo"), wire.Close(1001, "swallowed"))
			client.wants("the answer to the good", wire.Text("echo"))
			if why := client.wantsClose("it broke the protocol", v.code); why == "" {
				t.Error("the Close does not say why")
			}
			client.wantsEnd("nothing follows a Close")
			client.hangsUp()
			upstream.finishes("nothing follows a Close")
			r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client protocol_error": 1})
		})
		t.Run("upstream: "+v.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream := r.opens()
			upstream.sendsBytes(append(wire.Encode(false, wire.Text("good")), v.sent(false)...))
			client.wants("the good before the bad", append([]wire.Frame{wire.Text("good")}, v.good()...)...)
			client.wantsClose("the upstream broke the protocol", 1012)
			client.sends(wire.Text("echo"), wire.Close(1012, "swallowed"))
			upstream.wants("the answer to the good", wire.Text("echo"))
			if why := upstream.wantsClose("it broke the protocol", v.code); why == "" {
				t.Error("the Close does not say why")
			}
			upstream.finishes("nothing follows a Close")
			client.wantsEnd("nothing follows a Close")
			client.hangsUp()
			r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped upstream protocol_error": 1})
		})
	}
}

// RFC 7692 6: RSV1 stands on the first frame of a compressed message, and there alone.
func TestViolationsOfDeflate(t *testing.T) {
	t.Parallel()
	for name, frames := range map[string][]wire.Frame{
		"RSV1 of a continuation": {wire.Text("a").Reserved(4).More(), wire.Continuation("x").Reserved(4)},
		"RSV1 of a ping":         {wire.Ping("x").Reserved(4)},
		"RSV1 of a Close":        {wire.Close(1000, "").Reserved(4)},
		"RSV2":                   {wire.Text("x").Reserved(2)},
		"RSV1 and RSV3":          {wire.Text("x").Reserved(5)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream := r.opensDeflate()
			client.sends(frames...)
			if len(frames) == 2 {
				upstream.wants("the good before the bad", frames[0])
			}
			upstream.wantsClose("the client broke the protocol", 1001)
			upstream.hangsUp()
			client.wantsClose("it broke the protocol", 1002)
			client.hangsUp()
			r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client protocol_error": 1})
		})
	}
}

// A violation is seen wherever the stream is cut.
func TestViolationByteByByte(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	for _, b := range wire.Encode(true, wire.Text("good"), wire.Close(1000, "\xff")) {
		client.sendsBytes([]byte{b})
	}
	upstream.wants("the good before the bad", wire.Text("good"))
	upstream.wantsClose("the client broke the protocol", 1001)
	upstream.hangsUp()
	client.wantsClose("it broke the protocol", 1007)
	client.hangsUp()
	r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client protocol_error": 1})
}

func TestFrameOverTheLimit(t *testing.T) {
	t.Parallel()
	limited := func(cfg *proxy.Config) { cfg.MaxFrameSize = 1000 }
	fits, large := wire.Binary(strings.Repeat("x", 1000)), wire.Binary(strings.Repeat("x", 1001))
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, limited)
		client, upstream := r.opens()
		client.sends(fits, large)
		upstream.wants("it fits", fits)
		upstream.wantsClose("the client's frame is too large", 1001)
		upstream.sends(wire.Close(1001, ""))
		client.wantsClose("its frame is too large", 1009)
		client.wantsEnd("nothing follows a Close")
		client.hangsUp()
		upstream.finishes("nothing follows a Close")
		r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client too_big": 1})
	})
	t.Run("upstream", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, limited)
		client, upstream := r.opens()
		upstream.sends(fits, large)
		client.wants("it fits", fits)
		client.wantsClose("the upstream's frame is too large", 1012)
		client.sends(wire.Close(1012, ""))
		upstream.wantsClose("its frame is too large", 1009)
		upstream.finishes("nothing follows a Close")
		client.wantsEnd("nothing follows a Close")
		client.hangsUp()
		r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped upstream too_big": 1})
	})
}

func TestIdleAndOldSessions(t *testing.T) {
	t.Parallel()
	for reason, limited := range map[string]func(*proxy.Config){
		"idle_timeout": func(cfg *proxy.Config) { cfg.IdleTimeout = short },
		"max_duration": func(cfg *proxy.Config) { cfg.MaxSessionDuration = short },
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, limited)
			client, upstream := r.opens()
			if why := client.wantsClose("the session is over", 1012); why == "" {
				t.Error("the Close does not say why")
			}
			client.sends(wire.Close(1012, ""))
			upstream.wantsClose("the session is over", 1001)
			upstream.sends(wire.Close(1001, ""))
			upstream.finishes("nothing follows a Close")
			client.wantsEnd("nothing follows a Close")
			client.hangsUp()
			r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped proxy " + reason: 1})
		})
	}
}

// Peers that neither answer a Close nor hang up cannot keep a session.
func TestSilentPeersCannotKeepASession(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]func(client, upstream *peer){
		"client's Close":       func(client, _ *peer) { client.sends(wire.Close(1000, "")) },
		"upstream's Close":     func(_, upstream *peer) { upstream.sends(wire.Close(1000, "")) },
		"client's violation":   func(client, _ *peer) { client.sends(wire.Continuation("x")) },
		"upstream's violation": func(_, upstream *peer) { upstream.sends(wire.Continuation("x")) },
		"half a Close": func(client, _ *peer) {
			client.sendsBytes(wire.Encode(true, wire.Close(1000, ""))[:7])
			client.hangsUp()
		},
		"Close, then dribbling": func(client, _ *peer) {
			client.sends(wire.Close(1000, ""))
			go dribble(client, strings.Repeat("x", 1<<20))
		},
		"upstream dribbles on": func(client, upstream *peer) {
			client.sends(wire.Close(1000, ""))
			go floodsSlowly(upstream)
		},
		"both answered": func(client, upstream *peer) {
			client.sends(wire.Close(1000, ""))
			upstream.wants("the Close", wire.Close(1000, ""))
			upstream.sends(wire.Close(1000, ""))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) { cfg.CloseTimeout = short })
			client, upstream := r.opens()
			last(client, upstream)
			r.wantsNoSessions()
			if got := r.counts(); got["opened"] != 1 || got["active"] != 0 {
				t.Errorf("the session is not counted as ended: %v", got)
			}
		})
	}
}

// floodsSlowly sends small frames for as long as the connection stands.
func floodsSlowly(p *peer) {
	for {
		if _, err := p.conn.Write(wire.Encode(p.masks(), wire.Text("and on"))); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
