package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
)

// wire is a frame as a peer sends it, right or wrong.
type wire struct {
	first   byte
	payload string
	form    byte   // how the length is written: length16, length64, or 0 for the shortest form
	length  uint64 // announced, where more than the payload's
	swapped bool   // the mask bit is the other direction's
}

// First bytes of frames.
const (
	text        = fin | opText
	binaryFrame = fin | opBinary
	begins      = opText
	continues   = opContinuation
	ends        = fin | opContinuation
	closes      = fin | opClose
	pings       = fin | byte(ws.OpPing)
	pongs       = fin | byte(ws.OpPong)
)

func (w wire) bytes(masked bool) []byte {
	length := max(w.length, uint64(len(w.payload)))
	form := w.form
	switch {
	case form != 0:
	case length > math.MaxUint16:
		form = length64
	case length > maxControlPayload:
		form = length16
	default:
		form = byte(length)
	}
	if masked != w.swapped {
		form |= mask
	}
	b := []byte{w.first, form}
	switch form & lengthBits {
	case length16:
		b = binary.BigEndian.AppendUint16(b, uint16(length))
	case length64:
		b = binary.BigEndian.AppendUint64(b, length)
	}
	if form&mask == 0 {
		return append(b, w.payload...)
	}
	key := [4]byte{0xa1, 0x5b, 0x0c, 0xf7}
	b = append(b, key[:]...)
	for i := range len(w.payload) {
		b = append(b, w.payload[i]^key[i%4])
	}
	return b
}

// A conversation is one direction of a session. All of its frames are good,
// the data frames to be passed on and the control frames to be cut out, but
// for the last one if that breaks a rule.
type conversation struct {
	name       string
	deflate    bool
	maxFrame   int64
	maxMessage int64
	frames     []wire
	breaks     *Violation // by the last frame, for a client's stream
	asServer   *Violation // where another rule holds for a server's stream
	by         int        // bytes of the last frame that decide so, 0 for all of it
}

var conversations = []conversation{
	{name: "nothing"},
	{name: "one message", frames: []wire{{first: text, payload: "hello"}}},
	{name: "empty messages", frames: []wire{{first: text}, {first: binaryFrame}, {first: text}}},
	{name: "several messages", frames: []wire{{first: text, payload: "a"}, {first: binaryFrame, payload: "\x00\xff"}, {first: text, payload: strings.Repeat("b", 125)}}},
	{name: "16-bit length", frames: []wire{{first: text, payload: strings.Repeat("c", 126)}, {first: text, payload: "after"}}},
	{name: "64-bit length", frames: []wire{{first: text, payload: "part", length: 1 << 16}}},
	{name: "longest length", frames: []wire{{first: text, payload: "part", length: math.MaxInt64}}},
	{name: "payload that looks like frames", frames: []wire{{first: binaryFrame, payload: "\x89\x00\x88\x00\xff\xff"}, {first: pings}}},
	{name: "fragmented message", frames: []wire{{first: begins, payload: "a"}, {first: continues, payload: "b"}, {first: continues}, {first: ends, payload: "c"}, {first: text, payload: "next"}}},
	{name: "empty fragments", frames: []wire{{first: begins}, {first: continues}, {first: ends}, {first: text}}},
	{name: "control frames between messages", frames: []wire{{first: pings}, {first: text, payload: "a"}, {first: pongs, payload: "p"}, {first: pings, payload: "q"}, {first: text, payload: "b"}}},
	{name: "control frames inside a message", frames: []wire{{first: begins, payload: "a"}, {first: pings, payload: "p"}, {first: continues, payload: "b"}, {first: pongs}, {first: ends, payload: "c"}}},
	{name: "longest control frame", frames: []wire{{first: pings, payload: strings.Repeat("p", 125)}, {first: text, payload: "a"}}},
	{name: "compressed message", deflate: true, frames: []wire{{first: text | rsv1, payload: "a"}, {first: text, payload: "b"}, {first: pings}}},
	{name: "compressed fragmented message", deflate: true, frames: []wire{{first: begins | rsv1, payload: "a"}, {first: pings}, {first: ends, payload: "b"}, {first: text | rsv1}}},
	{name: "frame at the limit", maxFrame: 5, frames: []wire{{first: text, payload: "hello"}, {first: pings, payload: "longer than that"}}},
	{name: "16-bit frame at the limit", maxFrame: 300, frames: []wire{{first: text, payload: "part", length: 300}}},
	{name: "64-bit frame at the limit", maxFrame: 1 << 20, frames: []wire{{first: text, payload: "part", length: 1 << 20}}},
	{name: "message at the limit", maxMessage: 5, frames: []wire{{first: text, payload: "hello"}, {first: pings, payload: "longer than that"}, {first: text, payload: "again"}}},
	{name: "fragments at the limit", maxMessage: 5, frames: []wire{{first: begins, payload: "he"}, {first: pings, payload: "longer than that"}, {first: continues}, {first: continues, payload: "llo"}, {first: ends}, {first: begins, payload: "again"}, {first: ends}}},
	{name: "compressed fragments at the limit", deflate: true, maxMessage: 5, frames: []wire{{first: begins | rsv1, payload: "he"}, {first: pongs}, {first: ends, payload: "llo"}, {first: text | rsv1, payload: "again"}}},
	{name: "16-bit fragments at the limit", maxMessage: 500, frames: []wire{{first: begins, payload: strings.Repeat("d", 200)}, {first: ends, payload: "part", length: 300}}},
	{name: "64-bit fragments at the limit", maxMessage: 1<<20 + 5, frames: []wire{{first: begins, payload: "hello"}, {first: ends, payload: "part", length: 1 << 20}}},
	{name: "message at the largest limit", maxMessage: MaxMessage, frames: []wire{{first: begins, payload: "hello"}, {first: ends, payload: "part", length: MaxMessage - 5}}},
	{name: "frame and message at their limits", maxFrame: 3, maxMessage: 5, frames: []wire{{first: begins, payload: "hel"}, {first: ends, payload: "lo"}, {first: text, payload: "hel"}}},
	{name: "negative limit is none", maxFrame: -1, maxMessage: -1, frames: []wire{{first: text, payload: "hello"}}},

	{name: "empty close", frames: []wire{{first: text, payload: "a"}, {first: closes}}},
	{name: "close with code", frames: []wire{{first: closes, payload: "\x03\xe8"}}},
	{name: "close with reason", frames: []wire{{first: closes, payload: "\x03\xe9going ↦ away"}}},
	{name: "close with longest reason", frames: []wire{{first: closes, payload: "\x0f\xa0" + strings.Repeat("r", 123)}}},
	{name: "close inside a message", frames: []wire{{first: begins, payload: "a"}, {first: closes, payload: "\x03\xf3"}}},

	{name: "reserved data opcode", frames: []wire{{first: text, payload: "a"}, {first: fin | 3}}, breaks: reservedOpcode, by: 1},
	{name: "last reserved data opcode", frames: []wire{{first: fin | 7}}, breaks: reservedOpcode, by: 1},
	{name: "reserved control opcode", frames: []wire{{first: fin | 11}}, breaks: reservedOpcode, by: 1},
	{name: "last reserved control opcode", frames: []wire{{first: begins}, {first: fin | 15}}, breaks: reservedOpcode, by: 1},
	{name: "RSV2", deflate: true, frames: []wire{{first: text | rsv2}}, breaks: reservedBits, by: 1},
	{name: "RSV3", deflate: true, frames: []wire{{first: text | rsv3}}, breaks: reservedBits, by: 1},
	{name: "RSV3 on a continuation", frames: []wire{{first: begins}, {first: ends | rsv3}}, breaks: reservedBits, by: 1},
	{name: "RSV2 on a ping", frames: []wire{{first: pings | rsv2}}, breaks: reservedBits, by: 1},
	{name: "RSV1 not negotiated", frames: []wire{{first: text | rsv1, payload: "a"}}, breaks: rsv1NotNegotiated, by: 1},
	{name: "RSV1 on a continuation", deflate: true, frames: []wire{{first: begins | rsv1, payload: "a"}, {first: ends | rsv1}}, breaks: rsv1Misplaced, by: 1},
	{name: "RSV1 on a ping", deflate: true, frames: []wire{{first: pings | rsv1}}, breaks: rsv1Misplaced, by: 1},
	{name: "fragmented ping", frames: []wire{{first: byte(ws.OpPing)}}, breaks: fragmentedControl, by: 1},
	{name: "continuation of nothing", frames: []wire{{first: ends, payload: "a"}}, breaks: nothingToContinue, by: 1},
	{name: "continuation after the end", frames: []wire{{first: begins}, {first: ends}, {first: continues}}, breaks: nothingToContinue, by: 1},
	{name: "continuation after a ping", frames: []wire{{first: pings}, {first: ends}}, breaks: nothingToContinue, by: 1},
	{name: "message inside a message", frames: []wire{{first: begins}, {first: text, payload: "a"}}, breaks: interleavedMessage, by: 1},
	{name: "message after a ping inside a message", frames: []wire{{first: begins}, {first: pings}, {first: binaryFrame}}, breaks: interleavedMessage, by: 1},

	{name: "wrong mask bit", frames: []wire{{first: text, payload: "a"}, {first: text, payload: "b", swapped: true}}, breaks: clientNotMasked, asServer: serverMasked, by: 2},
	{name: "wrong mask bit on a ping", frames: []wire{{first: pings, swapped: true}}, breaks: clientNotMasked, asServer: serverMasked, by: 2},
	{name: "ping of 126 bytes", frames: []wire{{first: pings, payload: strings.Repeat("p", 126)}}, breaks: longControl, by: 2},
	{name: "ping with 64-bit length", frames: []wire{{first: pings, form: length64}}, breaks: longControl, by: 2},
	{name: "close of one byte", frames: []wire{{first: closes, payload: "\x03"}}, breaks: shortClose, by: 2},
	{name: "frame over the limit", maxFrame: 5, frames: []wire{{first: text, payload: "hello"}, {first: text, payload: "hello!"}}, breaks: TooBig, by: 2},
	{name: "continuation over the limit", maxFrame: 5, frames: []wire{{first: begins, payload: "hello"}, {first: ends, payload: "hello!"}}, breaks: TooBig, by: 2},

	{name: "needless 16-bit length", frames: []wire{{first: text, payload: "a", form: length16}}, breaks: longLength, by: 4},
	{name: "16-bit length of 125", frames: []wire{{first: text, length: 125, form: length16}}, breaks: longLength, by: 4},
	{name: "needless 64-bit length", frames: []wire{{first: text, payload: "a", form: length64}}, breaks: longLength, by: 8},
	{name: "64-bit length of 65535", frames: []wire{{first: text, length: math.MaxUint16, form: length64}}, breaks: longLength, by: 8},
	{name: "needless length over the limit", maxFrame: 5, frames: []wire{{first: text, length: 6, form: length16}}, breaks: longLength, by: 4},
	{name: "needless 64-bit length over the limit", maxFrame: 5, frames: []wire{{first: text, length: 600, form: length64}}, breaks: longLength, by: 8},
	{name: "top bit of the length", frames: []wire{{first: text, length: 1 << 63}}, breaks: lengthTopBit, by: 3},
	{name: "top bit of the length over the limit", maxFrame: 5, frames: []wire{{first: text, length: math.MaxUint64}}, breaks: lengthTopBit, by: 3},
	{name: "16-bit length over the limit", maxFrame: 300, frames: []wire{{first: text, length: 301}}, breaks: TooBig, by: 4},
	{name: "16-bit length far over the limit", maxFrame: 300, frames: []wire{{first: text, length: 512}}, breaks: TooBig, by: 3},
	{name: "64-bit length over the limit", maxFrame: 1 << 20, frames: []wire{{first: text, length: 1<<20 + 1}}, breaks: TooBig, by: 10},
	{name: "64-bit length far over the limit", maxFrame: 1 << 20, frames: []wire{{first: text, length: 1 << 56}}, breaks: TooBig, by: 3},

	{name: "message over the limit", maxMessage: 5, frames: []wire{{first: text, payload: "hello"}, {first: text, payload: "hello!"}}, breaks: MessageTooBig, by: 2},
	{name: "last fragment over the limit", maxMessage: 5, frames: []wire{{first: begins, payload: "hello"}, {first: ends, payload: "!"}}, breaks: MessageTooBig, by: 2},
	{name: "middle fragment over the limit", maxMessage: 5, frames: []wire{{first: begins, payload: "he"}, {first: pings}, {first: continues, payload: "llo"}, {first: pongs, payload: "p"}, {first: continues, payload: "!"}}, breaks: MessageTooBig, by: 2},
	{name: "second fragmented message over the limit", maxMessage: 5, frames: []wire{{first: begins, payload: "hello"}, {first: ends}, {first: begins, payload: "he"}, {first: ends, payload: "llo!"}}, breaks: MessageTooBig, by: 2},
	{name: "first fragment over the limit", maxMessage: 300, frames: []wire{{first: begins, length: 301}}, breaks: MessageTooBig, by: 4},
	{name: "compressed fragment over the limit", deflate: true, maxMessage: 5, frames: []wire{{first: begins | rsv1, payload: "hell"}, {first: ends, payload: "o!"}}, breaks: MessageTooBig, by: 2},
	{name: "16-bit fragment over the limit", maxMessage: 500, frames: []wire{{first: begins, payload: strings.Repeat("d", 200)}, {first: ends, length: 301}}, breaks: MessageTooBig, by: 4},
	{name: "16-bit fragment far over the limit", maxMessage: 500, frames: []wire{{first: begins, payload: strings.Repeat("d", 200)}, {first: ends, length: 512}}, breaks: MessageTooBig, by: 3},
	{name: "64-bit fragment over the largest limit", maxMessage: MaxMessage, frames: []wire{{first: begins, payload: "h"}, {first: ends, length: MaxMessage}}, breaks: MessageTooBig, by: 10},
	{name: "a limit above the largest", maxMessage: math.MaxInt64, frames: []wire{{first: text, length: MaxMessage + 1}}, breaks: MessageTooBig, by: 6},
	{name: "needless length of a message over the limit", maxMessage: 5, frames: []wire{{first: text, length: 6, form: length16}}, breaks: longLength, by: 4},
	{name: "frame over both limits, its own the smaller", maxFrame: 3, maxMessage: 5, frames: []wire{{first: text, payload: "hello!"}}, breaks: TooBig, by: 2},
	{name: "frame over both limits, the message's the smaller", maxFrame: 5, maxMessage: 3, frames: []wire{{first: text, payload: "hello!"}}, breaks: MessageTooBig, by: 2},
	{name: "frame over both limits, which are the same", maxFrame: 5, maxMessage: 5, frames: []wire{{first: text, payload: "hello!"}}, breaks: TooBig, by: 2},
	{name: "frame over both limits, with less left of the message", maxFrame: 3, maxMessage: 5, frames: []wire{{first: begins, payload: "hel"}, {first: ends, payload: "low!"}}, breaks: MessageTooBig, by: 2},

	{name: "close with bad code", frames: []wire{{first: text, payload: "a"}, {first: closes, payload: "\x03\xed"}}, breaks: closeCode},
	{name: "close with bad code and reason", frames: []wire{{first: closes, payload: "\x00\x00\xff"}}, breaks: closeCode},
	{name: "close with bad reason", frames: []wire{{first: closes, payload: "\x03\xe8bad \xff"}}, breaks: closeReason},
	{name: "close with reason cut inside a rune", frames: []wire{{first: closes, payload: "\x03\xe8\xe2\x86"}}, breaks: closeReason},
}

// stream is what a conversation looks like in one direction.
type stream struct {
	masked     bool
	deflate    bool
	maxFrame   int64
	maxMessage int64
	bytes      []byte
	ends       [FrameEnd + 1][]int // by gap, in bytes passed on
	decided    int                 // bytes until the verdict, if it is a violation
	outcome
}

func (c conversation) stream(masked bool) stream {
	s := stream{masked: masked, deflate: c.deflate, maxFrame: c.maxFrame, maxMessage: c.maxMessage}
	passed := 0
	for i, w := range c.frames {
		b := w.bytes(masked)
		if i == len(c.frames)-1 && c.breaks != nil {
			s.breakOff(c, b)
			break
		}
		s.bytes = append(s.bytes, b...)
		s.counts[w.first&opcode]++
		if isControl(w.first) {
			s.runs = append(s.runs, run{control: true, bytes: string(b)})
			continue
		}
		s.pass(b)
		passed += len(b)
		whole := w.first&fin != 0
		if s.midFrame = w.length > uint64(len(w.payload)); !s.midFrame {
			s.endsAt(passed, whole)
		}
		s.midMessage = s.midFrame || !whole
	}
	return s
}

// endsAt notes that a data frame ends there, which may be its message's last.
func (s *stream) endsAt(passed int, last bool) {
	s.ends[FrameEnd] = append(s.ends[FrameEnd], passed)
	if last {
		s.ends[MessageEnd] = append(s.ends[MessageEnd], passed)
	}
}

// breakOff appends the frame that breaks a rule.
func (s *stream) breakOff(c conversation, b []byte) {
	s.violation = c.breaks
	if !s.masked && c.asServer != nil {
		s.violation = c.asServer
	}
	by := c.by
	if by == 0 {
		by = len(b)
	}
	s.decided = len(s.bytes) + by
	s.bytes = append(s.bytes, b...)
}

// bothDirections runs a test on each conversation, as a client's and as a server's.
func bothDirections(t *testing.T, test func(*testing.T, stream)) {
	for _, c := range conversations {
		t.Run(c.name+"/client", func(t *testing.T) { test(t, c.stream(true)) })
		t.Run(c.name+"/server", func(t *testing.T) { test(t, c.stream(false)) })
	}
}

var noLimits = LimitsOf(0, 0)

func (s stream) driver(t *testing.T, gap Gap) *driver {
	scanner := NewScanner(s.masked, s.deflate)
	return &driver{t: t, scanner: scanner, limits: LimitsOf(s.maxFrame, s.maxMessage), gap: gap}
}

func (s stream) wants(t *testing.T, d *driver, how string) {
	t.Helper()
	if !reflect.DeepEqual(d.outcome, s.outcome) {
		t.Fatalf("%s\nstream % x\ngot  %v\nwant %v", how, s.bytes, d.outcome, s.outcome)
	}
	if want := s.ends[d.gap]; !slices.Equal(d.boundaries, want) {
		t.Fatalf("%s\nstream % x\nboundaries at %v, want %v", how, s.bytes, d.boundaries, want)
	}
}

func TestScanAtEverySplit(t *testing.T) {
	bothDirections(t, func(t *testing.T, s stream) {
		for gap := range FrameEnd + 1 {
			for split := range len(s.bytes) + 1 {
				d := s.driver(t, gap)
				d.feed(s.bytes[:split])
				d.feed(s.bytes[split:])
				s.wants(t, d, fmt.Sprintf("split at %d, gap %d", split, gap))
			}
		}
	})
}

func TestScanByteByByte(t *testing.T) {
	bothDirections(t, func(t *testing.T, s stream) {
		for gap := range FrameEnd + 1 {
			d := s.driver(t, gap)
			decided := 0
			for i := range s.bytes {
				d.feed(s.bytes[i : i+1])
				if d.violation != nil && decided == 0 {
					decided = i + 1
				}
			}
			s.wants(t, d, fmt.Sprintf("byte by byte, gap %d", gap))
			if decided != s.decided {
				t.Fatalf("violation reported after %d bytes, want it after %d", decided, s.decided)
			}
		}
	})
}

// A header or control frame that is all there but for its last byte is held.
func TestScanHolds(t *testing.T) {
	longest := wire{first: pings, payload: strings.Repeat("p", 125)}.bytes(true)
	for _, b := range [][]byte{
		{text},
		wire{first: text, payload: "a"}.bytes(true)[:5],
		wire{first: text, length: 1 << 16}.bytes(true)[:13],
		longest[:maxUnread],
	} {
		s := NewScanner(true, false)
		if r := s.Scan(b, &noLimits, NoGap, new(Counts)); r != (Result{}) || s.MidFrame() {
			t.Errorf("% x: %+v, mid-frame %t; want it all left, at a frame boundary", b, r, s.MidFrame())
		}
	}
	if len(longest) != maxUnread+1 {
		t.Errorf("longest control frame has %d bytes, want one more than maxUnread", len(longest))
	}
}

// One Result covers all data frames up to a control frame.
func TestScanPassesRuns(t *testing.T) {
	data := bytes.Repeat(wire{first: text, payload: "hello"}.bytes(true), 3)
	ping := wire{first: pings, payload: "p"}.bytes(true)
	s := NewScanner(true, false)
	var c Counts
	got := s.Scan(slices.Concat(data, ping, data), &noLimits, NoGap, &c)
	if want := (Result{Pass: len(data), Stop: Control, Size: len(ping)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want := (Counts{ws.OpText: 3, ws.OpPing: 1}); c != want {
		t.Errorf("counted %v, want %v", c, want)
	}
}

// A caller that is at a boundary already has put its frames there: it is next
// asked at the end of the next frame.
func TestScanGoesOnFromABoundary(t *testing.T) {
	one := wire{first: text, payload: "hello"}.bytes(true)
	b := slices.Concat(one, one)
	s := NewScanner(true, false)
	want := Result{Pass: len(one), Stop: Boundary}
	for at := 0; at < len(b); at += len(one) {
		if got := s.Scan(b[at:], &noLimits, FrameEnd, new(Counts)); got != want {
			t.Fatalf("at %d: %+v, want %+v", at, got, want)
		}
	}
	if got := s.Scan(nil, &noLimits, FrameEnd, new(Counts)); got != (Result{}) {
		t.Errorf("at the end: %+v, want nothing", got)
	}
}

func TestScanCountsLargePayload(t *testing.T) {
	const length = 200_000
	b := slices.Concat(
		wire{first: binaryFrame, payload: strings.Repeat("x", length)}.bytes(true),
		wire{first: pings}.bytes(true))
	d := &driver{t: t, scanner: NewScanner(true, false), limits: LimitsOf(length, 0)}
	for chunk := range slices.Chunk(b, 4096) {
		d.feed(chunk)
	}
	if len(d.runs) != 2 || len(d.runs[0].bytes) != 14+length || !d.runs[1].control {
		t.Errorf("got %d runs, want the frame and the ping behind it", len(d.runs))
	}
}

func TestScannerSize(t *testing.T) {
	if size := unsafe.Sizeof(Scanner{}); size > 16 {
		t.Errorf("a Scanner has %d bytes, want at most 16: there are two in each session", size)
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	bothDirections(t, func(t *testing.T, s stream) {
		scanner := NewScanner(s.masked, s.deflate)
		limits := LimitsOf(s.maxFrame, s.maxMessage)
		var c Counts
		allocs := testing.AllocsPerRun(10, func() {
			scanner := scanner
			for b := s.bytes; len(b) > 0; {
				r := scanner.Scan(b, &limits, FrameEnd, &c)
				if r.Stop == More || r.Stop == Broken {
					break
				}
				b = b[r.Pass+r.Size:]
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations, want none", allocs)
		}
	})
}
