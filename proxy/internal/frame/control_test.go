package frame

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func TestControlRoundTrip(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	for n := range maxControlPayload + 1 {
		payload := []byte(strings.Repeat("keepalive", 14)[:n])
		for _, op := range []ws.OpCode{ws.OpClose, ws.OpPing, ws.OpPong} {
			plain := ws.NewFrame(op, true, payload)
			wantFrame(t, AppendControl([]byte("x"), op, payload), plain)
			wantFrame(t, AppendMaskedControl([]byte("x"), op, payload, key), ws.MaskFrameWith(plain, key))
		}
	}
}

// wantFrame checks that b is "x" and the frame, and that it is taken apart again.
func wantFrame(t *testing.T, b []byte, want ws.Frame) {
	t.Helper()
	if compiled := ws.MustCompileFrame(want); string(b) != "x"+string(compiled) {
		t.Fatalf("got  % x\nwant % x", b[1:], compiled)
	}
	sent := bytes.Clone(b)
	var c ControlFrame
	ParseControl(b[1:], &c)
	if want.Header.Masked {
		want = ws.UnmaskFrame(want)
	}
	if c.Op != want.Header.OpCode || !bytes.Equal(c.Payload(), want.Payload) {
		t.Fatalf("% x\ntaken apart: opcode %x, payload %q", b[1:], c.Op, c.Payload())
	}
	if !bytes.Equal(b, sent) {
		t.Fatalf("ParseControl wrote to its input")
	}
}

func TestControlPayloadTooLong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("126 bytes were taken; they would make a broken frame")
		}
	}()
	AppendControl(nil, ws.OpPing, make([]byte, maxControlPayload+1))
}

func TestControlFrameIsReusable(t *testing.T) {
	var c ControlFrame
	ParseControl(AppendControl(nil, ws.OpPong, []byte("a longer one")), &c)
	kept := c
	ParseControl(AppendControl(nil, ws.OpPing, []byte("short")), &c)
	if string(c.Payload()) != "short" {
		t.Errorf("payload %q, want nothing of the frame before", c.Payload())
	}
	if string(kept.Payload()) != "a longer one" {
		t.Errorf("copy now holds %q, want it independent", kept.Payload())
	}
}

func TestCloseCode(t *testing.T) {
	var c ControlFrame
	ParseControl(AppendControl(nil, ws.OpClose, nil), &c)
	if code, ok := c.CloseCode(); ok {
		t.Errorf("empty Close has code %d", code)
	}
	payload := AppendClosePayload(nil, ws.StatusGoingAway, "bye")
	ParseControl(AppendControl(nil, ws.OpClose, payload), &c)
	if code, ok := c.CloseCode(); !ok || code != ws.StatusGoingAway {
		t.Errorf("code %d, %t; want 1001", code, ok)
	}
}

func TestCloseReasonIsCut(t *testing.T) {
	for _, test := range []struct{ name, reason, want string }{
		{"empty", "", ""},
		{"fits", strings.Repeat("a", 123), strings.Repeat("a", 123)},
		{"one byte over", strings.Repeat("a", 124), strings.Repeat("a", 123)},
		{"rune ends at the limit", strings.Repeat("a", 121) + "éé", strings.Repeat("a", 121) + "é"},
		{"limit inside a rune", strings.Repeat("a", 122) + "é", strings.Repeat("a", 122)},
		{"limit before a rune's last byte", strings.Repeat("a", 120) + "😀", strings.Repeat("a", 120)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := AppendClosePayload([]byte("x"), ws.StatusNormalClosure, test.reason)
			if want := "x\x03\xe8" + test.want; string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestControlDoesNotAllocate(t *testing.T) {
	payload := AppendClosePayload(nil, ws.StatusGoingAway, strings.Repeat("r", 123))
	allocs := testing.AllocsPerRun(100, func() {
		var buf [MaxControl]byte
		var c ControlFrame
		ParseControl(AppendMaskedControl(buf[:0], ws.OpClose, payload, [4]byte{1, 2, 3, 4}), &c)
		AppendControl(buf[:0], ws.OpPong, c.Payload())
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}
