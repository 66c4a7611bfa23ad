package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
	"holdfast/metrics"
)

// A violation is bytes that RFC 6455 forbids, and the code that its sender is told.
type violation struct {
	name string
	code int
	sent func(masked bool) []byte
	good []wire.Frame // what of it is right, and must arrive
}

func violations() []violation {
	frames := func(frames ...wire.Frame) func(bool) []byte {
		return func(masked bool) []byte { return wire.Encode(masked, frames...) }
	}
	list := []violation{
		{name: "wrong mask", code: 1002, sent: func(masked bool) []byte { return wire.Encode(!masked, wire.Text("x")) }},
		{name: "wrong mask of a ping", code: 1002, sent: func(masked bool) []byte { return wire.Encode(!masked, wire.Ping("x")) }},
		{name: "RSV1 that was not negotiated", code: 1002, sent: frames(wire.Text("x").Reserved(4))},
		{name: "RSV2", code: 1002, sent: frames(wire.Text("x").Reserved(2))},
		{name: "RSV3", code: 1002, sent: frames(wire.Binary("x").Reserved(1))},
		{name: "RSV1 of a ping", code: 1002, sent: frames(wire.Ping("x").Reserved(4))},
		{name: "ping in fragments", code: 1002, sent: frames(wire.Ping("x").More())},
		{name: "Close in fragments", code: 1002, sent: frames(wire.Close(1000, "").More())},
		{name: "ping of 126 bytes", code: 1002, sent: frames(wire.Ping(strings.Repeat("x", 126)))},
		{name: "Close of 126 bytes", code: 1002, sent: frames(wire.Close(1000, strings.Repeat("x", 124)))},
		{name: "continuation of nothing", code: 1002, sent: frames(wire.Continuation("x"))},
		{name: "continuation after the end", code: 1002, sent: frames(wire.Text("a").More(), wire.Continuation("b"), wire.Continuation("x")),
			good: []wire.Frame{wire.Text("a").More(), wire.Continuation("b")}},
		{name: "message inside a message", code: 1002, sent: frames(wire.Text("a").More(), wire.Text("x")),
			good: []wire.Frame{wire.Text("a").More()}},
		{name: "16-bit length that is small", code: 1002, sent: lengthForm(126, 0, 125)},
		{name: "64-bit length that is small", code: 1002, sent: lengthForm(127, 0, 0, 0, 0, 0, 0, 0xff, 0xff)},
		{name: "64-bit length with its top bit set", code: 1002, sent: lengthForm(127, 0x80, 0, 0, 0, 0, 0, 0, 0)},
		{name: "Close of one byte", code: 1002, sent: frames(wire.Frame{Op: ws.OpClose, Fin: true, Payload: "\x03"})},
		{name: "Close reason that is not UTF-8", code: 1007, sent: frames(wire.Close(1000, "\xff\xfe"))},
		{name: "Close reason cut inside a rune", code: 1007, sent: frames(wire.Close(1000, "\xe4\xb8"))},
	}
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		list = append(list, violation{name: fmt.Sprintf("opcode %#x", op), code: 1002, sent: frames(wire.Frame{Op: op, Fin: true})})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 5000, 65535} {
		list = append(list, violation{name: fmt.Sprintf("Close code %d", code), code: 1002, sent: frames(wire.Close(code, ""))})
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

// The offender sees the answers to what it did right before it is told what was
// wrong, as from a server without a proxy.
func TestViolations(t *testing.T) {
	for _, v := range violations() {
		for _, side := range sides {
			t.Run(side.String()+": "+v.name, func(t *testing.T) {
				st := newStage(t, nil)
				from, to := st.way(side)
				good := append([]wire.Frame{wire.Text("good")}, v.good...)
				from.sendsBytes(append(wire.Encode(from.masks(), wire.Text("good")), v.sent(from.masks())...))
				to.wants("the good before the bad, then the Close", append(good, wire.Close(told[side], side.String()+" protocol error"))...)
				from.wantsNothing("the other may still answer the good frame")
				to.sends(wire.Ping("p"), wire.Text("echo"))
				from.wants("the answer to what it did right", wire.Text("echo"))
				to.sends(wire.Close(told[side], "swallowed"))
				if why := from.wantsClose("it broke the protocol", v.code); why == "" {
					t.Error("the Close does not say why")
				}
				if side == client {
					from.wantsEnd("nothing follows")
				}
				from.hangsUp()
				to.hangsUp()
				st.dropped(side, metrics.ProtocolError)
			})
		}
	}
}

// What comes behind a violation is not read, and a violation is seen however the
// stream is cut.
func TestViolationByteByByte(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	for _, b := range wire.Encode(true, wire.Text("good"), wire.Close(1000, "\xff"), wire.Text("never read")) {
		c.sendsBytes([]byte{b})
	}
	u.wants("the good before the bad", wire.Text("good"), wire.Close(1001, "client protocol error"))
	u.hangsUp()
	c.wantsClose("it broke the protocol", 1007)
	c.hangsUp()
	st.dropped(client, metrics.ProtocolError)
}

func TestViolationWhoseOtherSideIsSilent(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sendsBytes([]byte{0x83, 0x80})
	u.wants("told", wire.Close(1001, "client protocol error"))
	st.pass(10 * time.Second)
	u.wantsEnd("it had CLOSE_TIMEOUT to answer")
	c.wantsClose("it broke the protocol", 1002)
	st.pass(10 * time.Second)
	st.dropped(client, metrics.ProtocolError)
}

// RFC 7692 6: RSV1 stands on the first frame of a compressed message, and there alone.
func TestViolationsOfDeflate(t *testing.T) {
	for name, frames := range map[string][]wire.Frame{
		"RSV1 of a continuation": {wire.Text("a").Reserved(4).More(), wire.Continuation("x").Reserved(4)},
		"RSV1 of a ping":         {wire.Ping("x").Reserved(4)},
		"RSV1 of a Close":        {wire.Close(1000, "").Reserved(4)},
		"RSV2":                   {wire.Text("x").Reserved(2)},
		"RSV1 and RSV3":          {wire.Text("x").Reserved(5)},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, nil)
			c, u := st.session(true)
			c.sends(frames...)
			u.wants("the good before the bad", append(frames[:len(frames)-1:len(frames)-1], wire.Close(1001, "client protocol error"))...)
			u.hangsUp()
			c.wantsClose("it broke the protocol", 1002)
			c.hangsUp()
			st.dropped(client, metrics.ProtocolError)
		})
	}
}

func TestFrameOverTheLimit(t *testing.T) {
	fits, large := wire.Text(strings.Repeat("a", 100)), wire.Text(strings.Repeat("b", 101))
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, func(c *Config) { c.MaxFrameSize = 100 })
			from, to := st.way(side)
			from.sends(fits, large)
			to.wants("only what is within the limit", fits, wire.Close(told[side], side.String()+" frame too big"))
			to.hangsUp()
			from.wantsClose("its frame is too large", 1009)
			from.hangsUp()
			st.dropped(side, metrics.TooBig)
		})
	}
}

// The limit on messages is for the payloads of all frames of a message, as they came.
// Control frames between them do not count.
func TestMessageOverTheLimit(t *testing.T) {
	part := func(n int) string { return strings.Repeat("m", n) }
	ping := wire.Ping(part(125))
	for _, test := range []struct {
		name    string
		deflate bool
		fits    []wire.Frame
		large   wire.Frame
	}{
		{"in one frame", false, []wire.Frame{wire.Text(part(100))}, wire.Text(part(101))},
		{"in its first fragment", false, nil, wire.Text(part(101)).More()},
		{"in its last fragment", false, []wire.Frame{wire.Text(part(60)).More(), wire.Continuation(part(40)).More()}, wire.Continuation("!")},
		{"behind messages in fragments", false, []wire.Frame{
			wire.Text(part(60)).More(), wire.Continuation(part(40)),
			wire.Binary(part(100)),
			wire.Text(part(99)).More(), wire.Continuation("").More(), wire.Continuation("m").More(),
		}, wire.Continuation("!").More()},
		{"with control frames between the fragments", false, []wire.Frame{
			wire.Text(part(60)).More(), ping, wire.Pong("own"), wire.Continuation(part(40)).More(), ping,
		}, wire.Continuation("!")},
		{"compressed", true, []wire.Frame{
			wire.Text(part(100)).Reserved(4),
			wire.Text(part(60)).More().Reserved(4), ping, wire.Continuation(part(40)).More(),
		}, wire.Continuation("!")},
	} {
		for _, side := range sides {
			t.Run(side.String()+": "+test.name, func(t *testing.T) {
				var got Ended
				st := newStage(t, func(c *Config) {
					c.MaxMessageSize, c.PeerPings = 100, ForwardPings
					c.Ended = func(e *Ended) { got = *e }
				})
				from, to := st.session(test.deflate)
				if side == upstream {
					from, to = to, from
				}
				from.sends(test.fits...)
				to.wants("what is within the limit", test.fits...)
				from.sends(test.large)
				to.wants("the frame that goes over it does not pass", wire.Close(told[side], side.String()+" message too big"))
				to.hangsUp()
				from.wants("its message is too large", wire.Close(1009, "message too big"))
				from.hangsUp()
				st.dropped(side, metrics.TooBig)
				if got.Detail != "message too big" {
					t.Errorf("the detail of the end is %q, want the limit's name", got.Detail)
				}
			})
		}
	}
}

// The smaller limit is the one that is named.
func TestFrameOverBothLimits(t *testing.T) {
	for _, test := range []struct {
		frames, messages int64
		reason           string
	}{
		{50, 60, "frame too big"},
		{60, 50, "message too big"},
		{50, 50, "frame too big"},
	} {
		st := newStage(t, func(c *Config) { c.MaxFrameSize, c.MaxMessageSize = test.frames, test.messages })
		c, u := st.session(false)
		c.sends(wire.Text(strings.Repeat("a", 61)))
		u.wants("nothing of it", wire.Close(1001, "client "+test.reason))
		u.hangsUp()
		c.wants("the smaller limit", wire.Close(1009, test.reason))
		c.hangsUp()
		st.dropped(client, metrics.TooBig)
	}
}

// The detail of an end says what was wrong, also where a Close had been passed on and its
// answer broke the protocol.
func TestDetailOfAViolation(t *testing.T) {
	for _, test := range []struct {
		sent   wire.Frame
		detail string
	}{
		{wire.Close(1006, ""), "invalid close code 1006"},
		{wire.Close(1005, "why"), "invalid close code 1005"},
		{wire.Close(0, ""), "invalid close code 0"},
		{wire.Close(65535, ""), "invalid close code 65535"},
		{wire.Close(1000, "\xff"), "close reason not UTF-8"},
		{wire.Frame{Op: ws.OpClose, Fin: true, Payload: "\x03"}, "close payload of one byte"},
		{wire.Text("x").Reserved(2), "RSV2 or RSV3 set"},
	} {
		for _, side := range sides {
			t.Run(side.String()+": "+test.detail, func(t *testing.T) {
				var got Ended
				st := newStage(t, func(c *Config) { c.Ended = func(e *Ended) { got = *e } })
				from, to := st.way(side)
				from.sends(test.sent)
				to.read()
				to.hangsUp()
				from.hangsUp()
				if got.Reason != metrics.ProtocolError || got.Side != side || got.Detail != test.detail {
					t.Errorf("the end is %v of the %v, %q; want %q", got.Reason, got.Side, got.Detail, test.detail)
				}
			})
			t.Run(side.String()+": "+test.detail+", as the answer to a Close", func(t *testing.T) {
				var got Ended
				st := newStage(t, func(c *Config) { c.Ended = func(e *Ended) { got = *e } })
				from, to := st.way(side)
				to.sends(wire.Close(4000, "done"))
				from.wants("the Close", wire.Close(4000, "done"))
				from.sends(test.sent)
				to.wants("its own code, since the answer was no good", wire.Close(4000, ""))
				to.hangsUp()
				from.hangsUp()
				want := test.detail + ", instead of an answer to the other side's Close"
				if got.Reason != metrics.ProtocolError || got.Side != side || got.Detail != want {
					t.Errorf("the end is %v of the %v, %q; want %q", got.Reason, got.Side, got.Detail, want)
				}
				st.dropped(side, metrics.ProtocolError)
			})
		}
	}
}
