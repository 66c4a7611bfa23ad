package frame

import (
	"math"

	"github.com/gobwas/ws"
)

// MaxText is the longest text that Gather collects, in bytes.
const MaxText = 1024

// MaxGathered is how many bytes of a message Gather looks at, headers included: a message
// of MaxText bytes in one masked frame.
const MaxGathered = MaxText + 2 + 2 + 4

// Gathered says what Gather has found.
type Gathered uint8

const (
	Part    Gathered = iota // the message goes on behind the bytes that there are
	Whole                   // the message is complete
	Between                 // a whole control frame lies between its fragments
	Wrong                   // its frames break the protocol
	Large                   // it has more bytes than Gather looks at
)

// A Text is what Gather has found of a text message.
type Text struct {
	Found     Gathered
	Payload   []byte     // unmasked: the message, or what has come of it
	At        int        // Between, Wrong: where the control frame or the broken frame begins
	Size      int        // Whole: of the message; Between: of the control frame
	Frames    int        // Whole: how many there are
	Violation *Violation // Wrong: the broken rule

	end   int     // of the whole frames in Payload
	ahead Scanner // at that end
}

// Watch makes Scan stop at text messages that may be small.
func (s *Scanner) Watch() { s.watch = watched }

// Skip makes Scan pass on the text message at which it has stopped.
func (s *Scanner) Skip() { s.watch = skipping }

// watch says whether Scan stops at text messages.
type watch uint8

const (
	unwatched watch = iota
	watched
	skipping // not at the one that comes next
)

// stops reports whether Scan is to stop at a frame that begins with first, which is the first
// byte behind the last frame. A compressed message cannot be read.
func (s *Scanner) stops(first byte) bool {
	if s.fragmented || first&(rsv1|rsv2|rsv3|opcode) != opText {
		return false
	}
	stops := s.watch == watched
	s.watch = watched
	return stops
}

// Gather collects the text message at the start of b, at which Scan has stopped. It appends
// the payload to into, and does not change b. If the message is Part, b is not longer than
// MaxHeld and can be held back.
func (s *Scanner) Gather(b []byte, limits *Limits, into []byte) Text {
	text := Text{Payload: into, ahead: *s}
	text.gather(b, limits)
	return text
}

// Resume goes on with a Text that is Between, after the caller has taken the control frame
// out. b begins with the message, as before. Resume does not look at the frames that are in
// Payload again. Otherwise a message with many control frames between its fragments would cost
// the square of their number.
func (t *Text) Resume(b []byte, limits *Limits) {
	t.Found, t.At, t.Size = Part, 0, 0
	t.gather(b, limits)
}

// EndsFrame reports whether b, of which the Text is a Part, ends with a whole frame.
func (t *Text) EndsFrame(b []byte) bool { return t.end == len(b) }

// gather collects the message from b[t.end] on, where one of its frames has ended.
func (t *Text) gather(b []byte, limits *Limits) {
	var counts Counts // Scan counts the frames if the message passes
	for t.end < len(b) {
		first := b[t.end]
		h, violation := t.ahead.parse(b[t.end:], limits)
		switch {
		case violation != nil:
			t.Found, t.At, t.Violation = Wrong, t.end, violation
			return
		case h.size == 0:
			return
		case isControl(first):
			t.between(b[t.end:], h)
			return
		case h.length > MaxGathered || t.end+h.size+int(h.length) > MaxGathered:
			t.Found = Large
			return
		}
		body := b[t.end+h.size:]
		there := min(int(h.length), len(body))
		start := len(t.Payload)
		t.Payload = append(t.Payload, body[:there]...)
		if b[t.end+1]&mask != 0 {
			ws.Cipher(t.Payload[start:], [4]byte(b[t.end+h.size-4:]), 0)
		}
		if there < int(h.length) {
			return
		}
		t.ahead.accept(first, h.length, &counts)
		t.end += h.size + there
		t.Frames++
		if !t.ahead.fragmented {
			t.Found, t.Size = Whole, t.end
			return
		}
	}
}

// between completes a Text with the control frame at the start of b, whose header is valid.
func (t *Text) between(b []byte, h header) {
	size := h.size + int(h.length)
	if len(b) < size {
		return
	}
	t.Found, t.At, t.Size = Between, t.end, size
	if violation := checkClose(b[:size]); violation != nil {
		t.Found, t.Violation = Wrong, violation
	}
}

// MaxTextHeader is the size of the longest header of AppendText and AppendMaskedText.
const MaxTextHeader = 2 + 2 + 4

// AppendText appends a whole, uncompressed text message as a server sends it. It panics if
// the text is longer than 65,535 bytes, and so does AppendMaskedText.
func AppendText(dst, text []byte) []byte {
	return append(appendTextHeader(dst, 0, len(text)), text...)
}

// AppendMaskedText appends such a message as a client sends it. The key must be fresh and not
// predictable (RFC 6455 5.3).
func AppendMaskedText(dst, text []byte, key [4]byte) []byte {
	dst = append(appendTextHeader(dst, mask, len(text)), key[:]...)
	start := len(dst)
	dst = append(dst, text...)
	ws.Cipher(dst[start:], key, 0)
	return dst
}

func appendTextHeader(dst []byte, masked byte, length int) []byte {
	switch {
	case length > math.MaxUint16:
		panic("frame: text longer than 65535 bytes")
	case length > maxControlPayload:
		return append(dst, fin|opText, masked|length16, byte(length>>8), byte(length))
	default:
		return append(dst, fin|opText, masked|byte(length))
	}
}
