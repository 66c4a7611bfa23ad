// Package frame walks the frames of RFC 6455 in a stream of bytes that comes
// in arbitrary chunks. It does no I/O and knows no clock.
//
// The path through it, in call order:
//
//	Scanner.Scan    how much of a chunk may be passed on, and what stands behind it (scanner.go)
//	Scanner.parse   a header's bytes, each rule checked as soon as it can be        (header.go)
//	ParseControl    a control frame that Scan has cut out, taken apart              (control.go)
//	AppendControl   a control frame of our own                                      (control.go)
//
// What a peer can do wrong is listed in violation.go.
//
// A data frame's payload is counted and never looked at: it passes verbatim,
// masked and compressed as it came. So text messages are not checked to be
// UTF-8, which is for their receiver to do.
package frame

// Stop says why Scan stopped.
type Stop uint8

const (
	More     Stop = iota // what follows the bytes to pass on is nothing, or the beginning of a header or of a control frame: come again with it and more behind it
	Boundary             // the bytes to pass on end at the end of a data frame, as the caller asked for
	Control              // behind the bytes to pass on stands one whole, valid control frame
	Broken               // what stands behind the bytes to pass on breaks the protocol; none of it may be passed on
)

// Result is what Scan has found in b.
type Result struct {
	Pass      int        // leading bytes of b that are to be passed on verbatim
	Stop      Stop       // what b[Pass:] is
	Size      int        // Control: the frame's size, header included; b[Pass+Size:] is still to be scanned
	Violation *Violation // Broken: the broken rule
}

// Counts are frames by opcode, data and control. A data frame counts when its
// header is accepted, a control frame when Scan returns it.
type Counts [16]uint32

// MaxHeld is the most that Scan leaves of b with More: a control frame but for
// its last byte. An incomplete header is shorter.
const MaxHeld = MaxControl - 1

// Limit is the longest payload that a data frame may have, in bytes. All scanners of
// a proxy share one limit, so it is an argument of Scan and not a field.
type Limit uint64

// LimitOf is a configured limit; 0 and less mean any length.
func LimitOf(configured int64) Limit {
	if configured > 0 {
		return Limit(configured)
	}
	return maxLength
}

// Scanner follows the frames of one direction of one session. It is plain data
// and keeps no bytes: those that it cannot decide on yet stay with the caller.
type Scanner struct {
	left       uint64 // bytes still to come of the payload of the current data frame
	maskBit    byte   // what a header's mask bit must be: mask or 0
	rsv1Bit    byte   // what a message's first frame may set: rsv1 or 0
	fragmented bool   // a message has begun and its last frame not been seen
}

// NewScanner returns a scanner for a stream from its first frame on. masked:
// it comes from a client. deflate: permessage-deflate has been negotiated.
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

// Scan walks the frames in b, which continues the stream where the last
// Result left it. All of the data frames that b holds, and the beginning of
// one, are passed on in one run, which ends at a control frame, at a violation,
// or where b does; with stopAtBoundary, at the latest where the first data
// frame ends. longest is the same for all of a stream. After a Close or a violation
// the stream is not to be scanned on.
//
// An incomplete header is checked as far as it goes: a broken rule is reported
// as soon as the bytes that break it are there. A Close's payload is checked
// when it is whole.
func (s *Scanner) Scan(b []byte, longest Limit, stopAtBoundary bool, c *Counts) Result {
	at := 0
	for at < len(b) {
		if s.left == 0 {
			if size := s.small(b[at:], longest); size > 0 && s.continues(b[at]) {
				s.accept(b[at], c)
				at += size
				if stopAtBoundary {
					return Result{Pass: at, Stop: Boundary}
				}
				continue
			}
			h, violation := s.parse(b[at:], longest)
			switch {
			case violation != nil:
				return Result{Pass: at, Stop: Broken, Violation: violation}
			case h.size == 0:
				return Result{Pass: at}
			case isControl(b[at]):
				return cutControl(b, at, h, c)
			}
			s.accept(b[at], c)
			s.left = h.length
			at += h.size
		}
		n := min(s.left, uint64(len(b)-at))
		s.left -= n
		at += int(n)
		if s.left == 0 && stopAtBoundary {
			return Result{Pass: at, Stop: Boundary}
		}
	}
	return Result{Pass: at}
}

// small returns the size of the frame that b starts with if all of it is there
// and its second byte is valid and the whole length; else 0. Together with
// continues it is a short cut for most frames, cheap enough to be inlined: it
// accepts nothing that parse would not, and leaves the rest to that.
func (s *Scanner) small(b []byte, longest Limit) int {
	if len(b) < 2 {
		return 0
	}
	length := int(b[1] ^ s.maskBit) // over 127 if the mask bit is wrong
	size := 2 + keySize(s.maskBit) + length
	if length > maxControlPayload || size > len(b) || Limit(length) > longest {
		return 0
	}
	return size
}

// continues reports whether this may be the first byte of the next data frame.
func (s *Scanner) continues(first byte) bool {
	if s.fragmented {
		return first&^fin == opContinuation
	}
	opens := first &^ (fin | s.rsv1Bit)
	return opens == opText || opens == opBinary
}

// accept notes a data frame by its first byte.
func (s *Scanner) accept(first byte, c *Counts) {
	c[first&opcode]++
	s.fragmented = first&fin == 0
}

// cutControl decides on the control frame with a valid header at b[at].
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
