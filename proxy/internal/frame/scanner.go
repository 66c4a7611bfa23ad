// Package frame walks the frames of RFC 6455 in a stream of bytes that comes in chunks of
// any size. It does no I/O and knows no clock.
//
// The path through it, in call order:
//
//	Scanner.Scan    how much of a chunk may be passed on, and what is behind it (scanner.go)
//	Scanner.parse   a header's bytes, each rule checked as soon as it can be    (header.go)
//	Scanner.Gather  collects a small text message, for those who look at such   (text.go)
//	ParseControl    parses a control frame that Scan has cut out                (control.go)
//	AppendControl   a control frame of our own                                  (control.go)
//
// violation.go lists the rules that a peer can break.
//
// Scan counts a data frame's payload and never looks at it. It is passed on verbatim, masked
// and compressed as it came. So text messages are not checked to be UTF-8; their receiver
// must do that.
package frame

import "math"

// Stop says why Scan stopped.
type Stop uint8

const (
	More     Stop = iota // b[Pass:] is empty, or the beginning of a header or of a control frame: call again with it and more bytes behind it
	Boundary             // b[:Pass] ends at a gap, as Scan was asked for
	Control              // b[Pass:] begins with a whole, valid control frame
	Message              // b[Pass:] begins with a text message, as Watch has asked for: call Gather
	Broken               // b[Pass:] breaks the protocol; none of it may be passed on
)

// Result is what Scan found in b.
type Result struct {
	Pass      int        // leading bytes of b that are to be passed on verbatim
	Stop      Stop       // what b[Pass:] is; More is the zero value
	Size      int        // Control: the frame's size, header included; b[Pass+Size:] is still to be scanned
	Violation *Violation // Broken: the broken rule
}

// A Gap is a place between data frames, where a caller may put in frames of its own. RFC
// 6455 5.4 lets control frames in between the fragments of a message, but some peers lose
// the fragments before one.
type Gap uint8

const (
	NoGap      Gap = iota // none
	MessageEnd            // the end of a message
	FrameEnd              // the end of any data frame
)

// Counts has the number of frames of each opcode. A data frame counts when its header is
// accepted, a control frame when Scan returns it.
type Counts [16]uint32

// MaxHeld is the largest number of bytes that have to be held back: those of a message that
// Gather has found incomplete, and behind them a control frame without its last byte.
const MaxHeld = MaxGathered + maxUnread

// maxUnread is the largest number of bytes in b[Pass:] after More: a control frame without
// its last byte. An incomplete header is shorter.
const maxUnread = MaxControl - 1

// Limits bound the payloads of data frames and of messages, in bytes. A message's payload
// is that of all its frames, as they came. All scanners of a proxy share the limits, so
// they are an argument of Scan and not a field.
type Limits struct {
	frame   uint64 // of a data frame
	message uint64 // of a message
	small   int    // of a frame that small may take: the least of both and of maxControlPayload
}

// MaxMessage is the largest limit on messages.
const MaxMessage = math.MaxUint32

// LimitsOf returns the limits for configured values; 0 or less means any length. A limit
// on messages above MaxMessage counts as MaxMessage.
func LimitsOf(frame, message int64) Limits {
	limits := Limits{frame: maxLength, message: maxLength}
	if frame > 0 {
		limits.frame = uint64(frame)
	}
	if message > 0 {
		limits.message = min(uint64(message), MaxMessage)
	}
	limits.small = int(min(limits.frame, limits.message, maxControlPayload))
	return limits
}

// Scanner follows the frames of one direction of one session. It is plain data and keeps
// no bytes: the caller keeps those that cannot be decided on yet.
type Scanner struct {
	left       uint64 // payload bytes of the current data frame that are still to come
	before     uint32 // payload bytes of the earlier frames of the current message, at most MaxMessage; 0 between messages
	maskBit    byte   // the value that a header's mask bit must have: mask or 0
	rsv1Bit    byte   // the bit that a message's first frame may set: rsv1 or 0
	fragmented bool   // the last data frame was not the last of its message
	watch      watch  // whether Scan stops at text messages
}

// NewScanner returns a scanner for a stream from its first frame on. masked means that
// the stream comes from a client. deflate means that permessage-deflate was negotiated.
func NewScanner(masked, deflate bool) (s Scanner) {
	if masked {
		s.maskBit = mask
	}
	if deflate {
		s.rsv1Bit = rsv1
	}
	return s
}

// MidFrame reports whether the bytes passed on so far end inside a data frame.
func (s *Scanner) MidFrame() bool { return s.left > 0 }

// MidMessage reports whether the bytes passed on so far end inside a message: inside one
// of its frames, or between two of them.
func (s *Scanner) MidMessage() bool { return s.left > 0 || s.fragmented }

// Left returns how many payload bytes of the current data frame are still to come.
func (s *Scanner) Left() uint64 { return s.left }

// At reports whether the bytes passed on so far end at such a gap.
func (s *Scanner) At(g Gap) bool {
	return g == FrameEnd && s.left == 0 || g == MessageEnd && !s.MidMessage()
}

// Scan walks the frames in b, which continues the stream where the last Result ended. It
// passes on all data frames in b, and the beginning of an incomplete one, in one run. The
// run ends at a control frame, at a violation, or at the end of b. It ends at the latest
// at the end of the first data frame that is such a gap. limits are the same for all of a
// stream. After a Close or a violation Scan must not be called again.
//
// Scan checks as much of an incomplete header as is there, and reports a violation as
// soon as it has the bytes that break the rule. It checks a Close's payload when the
// payload is complete.
func (s *Scanner) Scan(b []byte, limits *Limits, gap Gap, c *Counts) Result {
	at := 0
	for at < len(b) {
		if s.left == 0 {
			if s.watch != unwatched && s.stops(b[at]) {
				return Result{Pass: at, Stop: Message}
			}
			if size := s.small(b[at:], limits); size > 0 && s.continues(b[at]) {
				s.accept(b[at], uint64(b[at+1]&lengthBits), c)
				at += size
				if gap != NoGap && s.At(gap) {
					return Result{Pass: at, Stop: Boundary}
				}
				continue
			}
			h, violation := s.parse(b[at:], limits)
			switch {
			case violation != nil:
				return Result{Pass: at, Stop: Broken, Violation: violation}
			case h.size == 0:
				return Result{Pass: at}
			case isControl(b[at]):
				return cutControl(b, at, h, c)
			}
			s.accept(b[at], h.length, c)
			s.left = h.length
			at += h.size
		}
		n := min(s.left, uint64(len(b)-at))
		s.left -= n
		at += int(n)
		if gap != NoGap && s.At(gap) {
			return Result{Pass: at, Stop: Boundary}
		}
	}
	return Result{Pass: at}
}

// small returns the size of the frame at the start of b, if all of it is in b and its
// second byte is valid and holds the whole length. Otherwise it returns 0. With continues
// it is a short cut for most frames, and cheap enough to be inlined. It accepts nothing
// that parse would refuse, and leaves all other frames to parse.
func (s *Scanner) small(b []byte, limits *Limits) int {
	if len(b) < 2 {
		return 0
	}
	length := int(b[1] ^ s.maskBit) // over 127 if the mask bit is wrong
	size := 2 + keySize(s.maskBit) + length
	if length > limits.small || size > len(b) || uint64(length)+uint64(s.before) > limits.message {
		return 0
	}
	return size
}

// continues reports whether first may be the first byte of the next data frame.
func (s *Scanner) continues(first byte) bool {
	if s.fragmented {
		return first&^fin == opContinuation
	}
	opens := first &^ (fin | s.rsv1Bit)
	return opens == opText || opens == opBinary
}

// accept counts a data frame. If the frame is not a whole message, accept records that.
func (s *Scanner) accept(first byte, length uint64, c *Counts) {
	c[first&opcode]++
	if s.fragmented || first&fin == 0 {
		s.acceptFragment(first, length)
	}
}

// acceptFragment records whether a fragment's message goes on, and how long it is so far.
// It is not inlined, because the short cut in Scan is faster without it.
//
//go:noinline
func (s *Scanner) acceptFragment(first byte, length uint64) {
	s.fragmented = first&fin == 0
	s.before += uint32(min(length, uint64(MaxMessage-s.before)))
	if !s.fragmented {
		s.before = 0
	}
}

// cutControl decides on the control frame at b[at], whose header is valid.
func cutControl(b []byte, at int, h header, c *Counts) Result {
	size := h.size + int(h.length)
	if len(b)-at < size {
		return Result{Pass: at}
	}
	if violation := checkClose(b[at : at+size]); violation != nil {
		return Result{Pass: at, Stop: Broken, Violation: violation}
	}
	c[b[at]&opcode]++
	return Result{Pass: at, Stop: Control, Size: size}
}
