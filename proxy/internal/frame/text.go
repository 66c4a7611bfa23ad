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
	ahead, counts := *s, Counts{} // Scan counts the frames if the message passes
	text := Text{Payload: into}
	at := 0
	for at < len(b) {
		h, violation := ahead.parse(b[at:], limits)
		switch {
		case violation != nil:
			text.Found, text.At, text.Violation = Wrong, at, violation
			return text
		case h.size == 0:
			return text
		case isControl(b[at]):
			return text.between(b, at, h)
		case h.length > MaxGathered || at+h.size+int(h.length) > MaxGathered:
			text.Found = Large
			return text
		}
		body := b[at+h.size:]
		there := min(int(h.length), len(body))
		start := len(text.Payload)
		text.Payload = append(text.Payload, body[:there]...)
		if b[at+1]&mask != 0 {
			ws.Cipher(text.Payload[start:], [4]byte(b[at+h.size-4:]), 0)
		}
		if there < int(h.length) {
			return text
		}
		ahead.accept(b[at], h.length, &counts)
		at += h.size + there
		text.Frames++
		if !ahead.fragmented {
			text.Found, text.Size = Whole, at
			return text
		}
	}
	return text
}

// between completes a Text with the control frame at b[at], whose header is valid.
func (t Text) between(b []byte, at int, h header) Text {
	size := h.size + int(h.length)
	if len(b)-at < size {
		return t
	}
	t.Found, t.At, t.Size = Between, at, size
	if violation := checkClose(b[at : at+size]); violation != nil {
		t.Found, t.Violation = Wrong, violation
	}
	return t
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
