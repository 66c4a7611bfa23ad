package frame

import (
	"bytes"
	"errors"
	"math/big"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/gobwas/ws"
)

// Bits of FuzzScanner's rules.
const (
	fuzzMasked = 1 << iota
	fuzzDeflate
	fuzzFrameEnd
	fuzzMessageEnd
)

// FuzzScanner: however a stream is chunked, it ends as a plain reader, built on
// ws.ReadHeader, says of it as a whole.
func FuzzScanner(f *testing.F) {
	for _, c := range conversations {
		for _, masked := range []bool{false, true} {
			s := c.stream(masked)
			f.Add(s.bytes, s.rules(), c.maxFrame, c.maxMessage, uint64(len(s.bytes)))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, rules byte, maxFrame, maxMessage int64, seed uint64) {
		s := stream{
			masked:     rules&fuzzMasked != 0,
			deflate:    rules&fuzzDeflate != 0,
			maxFrame:   maxFrame,
			maxMessage: maxMessage,
			bytes:      b,
		}
		reference{stream: &s, rest: b, message: new(big.Int)}.read()
		d := s.driver(t, fuzzedGap(rules))
		random := rand.New(rand.NewPCG(seed, 0))
		for len(b) > 0 {
			n := 1 + random.IntN(min(len(b), 1+random.IntN(200)))
			d.feed(b[:n])
			b = b[n:]
		}
		s.wants(t, d, "random chunks")
	})
}

func fuzzedGap(rules byte) Gap {
	switch {
	case rules&fuzzFrameEnd != 0:
		return FrameEnd
	case rules&fuzzMessageEnd != 0:
		return MessageEnd
	default:
		return NoGap
	}
}

func (s stream) rules() (rules byte) {
	if s.masked {
		rules |= fuzzMasked
	}
	if s.deflate {
		rules |= fuzzDeflate
	}
	return rules
}

// reference reads a whole stream, one frame after the other, and notes in
// stream what is to become of it.
type reference struct {
	*stream
	rest       []byte
	fragmented bool
	message    *big.Int // payload bytes of the current message so far
	passed     int
}

func (r reference) read() {
	for len(r.rest) > 0 && r.violation == nil && r.next() {
	}
}

// next reads one frame. It is false if nothing is to be read after it.
func (r *reference) next() bool {
	h, size, violation, whole := r.header(r.rest)
	if !whole {
		violation = r.bound(r.rest)
	}
	switch {
	case violation != nil:
		r.violation = violation
		return false
	case !whole:
		r.held = string(r.rest)
		return false
	case h.OpCode.IsControl():
		return r.control(h, size+int(h.Length))
	}
	r.counts[h.OpCode]++
	r.fragmented = !h.Fin
	r.message = r.through(h)
	if h.Fin {
		r.message = new(big.Int)
	}
	end := len(r.rest)
	if r.midFrame = uint64(h.Length) > uint64(end-size); !r.midFrame {
		end = size + int(h.Length)
		r.endsAt(r.passed+end, h.Fin)
	}
	r.midMessage = r.midFrame || r.fragmented
	r.pass(r.rest[:end])
	r.passed += end
	r.rest = r.rest[end:]
	return true
}

func (r *reference) control(h ws.Header, size int) bool {
	if len(r.rest) < size {
		r.held = string(r.rest)
		return false
	}
	b := r.rest[:size]
	r.rest = r.rest[size:]
	if h.OpCode == ws.OpClose {
		payload := bytes.Clone(b[size-int(h.Length):])
		ws.Cipher(payload, h.Mask, 0)
		if r.violation = referenceClose(payload); r.violation != nil {
			return false
		}
	}
	r.counts[h.OpCode]++
	r.runs = append(r.runs, run{control: true, bytes: string(b)})
	return h.OpCode != ws.OpClose
}

// bound is the violation that an incomplete header comes to whatever follows,
// which is so if the least and the greatest continuation come to the same.
func (r *reference) bound(b []byte) *Violation {
	_, _, least, _ := r.header(append(bytes.Clone(b), make([]byte, ws.MaxHeaderSize)...))
	_, _, greatest, _ := r.header(append(bytes.Clone(b), bytes.Repeat([]byte{0xff}, ws.MaxHeaderSize)...))
	if least == greatest {
		return least
	}
	return nil
}

// header reads the header that b starts with.
func (r *reference) header(b []byte) (h ws.Header, size int, violation *Violation, whole bool) {
	in := bytes.NewReader(b)
	h, err := ws.ReadHeader(in)
	size = len(b) - in.Len()
	topBit := errors.Is(err, ws.ErrHeaderLengthMSB)
	if err != nil && !topBit {
		return h, size, nil, false
	}
	return h, size, r.check(h, size, b[1]&lengthBits, topBit), true
}

// check holds a whole header against the rules, in the order of their bytes.
// ws.CheckHeader has another order and fewer rules, but refuses nothing else.
func (r *reference) check(h ws.Header, size int, form byte, topBit bool) *Violation {
	switch {
	case h.OpCode.IsReserved():
		return reservedOpcode
	case h.Rsv2() || h.Rsv3():
		return reservedBits
	case h.Rsv1() && !r.deflate:
		return rsv1NotNegotiated
	case h.Rsv1() && (h.OpCode.IsControl() || h.OpCode == ws.OpContinuation):
		return rsv1Misplaced
	case h.OpCode.IsControl() && !h.Fin:
		return fragmentedControl
	case !r.fragmented && h.OpCode == ws.OpContinuation:
		return nothingToContinue
	case r.fragmented && (h.OpCode == ws.OpText || h.OpCode == ws.OpBinary):
		return interleavedMessage
	case r.masked && !h.Masked:
		return clientNotMasked
	case !r.masked && h.Masked:
		return serverMasked
	case h.OpCode.IsControl() && form > maxControlPayload:
		return longControl
	case h.OpCode == ws.OpClose && h.Length == 1:
		return shortClose
	case topBit:
		return lengthTopBit
	case size != ws.HeaderSize(h):
		return longLength
	}
	if limit := r.limit(h); limit != nil {
		return limit
	}
	if err := ws.CheckHeader(h, r.state()); err != nil {
		panic("ws.CheckHeader refuses what the rules here allow: " + err.Error())
	}
	return nil
}

// through is how many payload bytes the message has with this frame.
func (r *reference) through(h ws.Header) *big.Int {
	return new(big.Int).Add(r.message, big.NewInt(h.Length))
}

// limit is the limit that a frame breaks. If it breaks both, it is the one that a shorter
// frame would have broken too.
func (r *reference) limit(h ws.Header) *Violation {
	most := big.NewInt(min(r.maxMessage, MaxMessage))
	long := r.maxFrame > 0 && h.OpCode.IsData() && h.Length > r.maxFrame
	heavy := r.maxMessage > 0 && h.OpCode.IsData() && r.through(h).Cmp(most) > 0
	if long && heavy {
		atMost := h
		atMost.Length = r.maxFrame
		long = r.through(atMost).Cmp(most) <= 0
	}
	switch {
	case long:
		return TooBig
	case heavy:
		return MessageTooBig
	default:
		return nil
	}
}

func (r *reference) state() ws.State {
	state := ws.StateClientSide
	if r.masked {
		state = ws.StateServerSide
	}
	if r.deflate {
		state = state.Set(ws.StateExtended)
	}
	if r.fragmented {
		state = state.Set(ws.StateFragmented)
	}
	return state
}

// referenceClose is ws.CheckCloseFrameData, but that this does not know the
// codes 1012 to 1014, which are registered, and lets codes above 4999 pass.
func referenceClose(payload []byte) *Violation {
	if len(payload) == 0 {
		return nil
	}
	code, reason := ws.ParseCloseFrameData(payload)
	if code >= 1012 && code <= 1014 {
		code = ws.StatusNormalClosure
	}
	switch err := ws.CheckCloseFrameData(code, reason); {
	case code >= 5000:
		return closeCode
	case errors.Is(err, ws.ErrProtocolInvalidUTF8):
		return closeReason
	case err != nil:
		return closeCode
	}
	return nil
}

// The reference is only as good as what it is tried on: it must agree with what
// the conversations were written to be.
func TestReference(t *testing.T) {
	bothDirections(t, func(t *testing.T, s stream) {
		got := s
		got.outcome, got.ends = outcome{}, [FrameEnd + 1][]int{}
		reference{stream: &got, rest: s.bytes, message: new(big.Int)}.read()
		got.decided = s.decided
		if !reflect.DeepEqual(got, s) {
			t.Errorf("reference %+v\nwant %+v", got, s)
		}
	})
}
