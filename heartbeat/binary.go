package heartbeat

import (
	"encoding/binary"
	"errors"
	"time"
)

// The encoding of a State is
//
//	byte   0      format, 1
//	       1      status
//	       2      open pings, 0 to 4
//	       3      bit 0 paused, bit 1 measured, bit 2 delayed, bit 3 heard, bits 4 to 6 manner
//	       4      wait
//	       5–36   at, sentAt, payload, rtt: 8 bytes each, big-endian
//	       37–    for each open ping but the latest: payload, sentAt; 8 bytes each, big-endian
const (
	binaryFormat = 1
	binaryHead   = 37
	binaryPing   = 16
)

const (
	flagPaused = 1 << iota
	flagMeasured
	flagDelayed
	flagHeard

	mannerAt = 4      // the bits of manner begin here
	flagsEnd = 1 << 7 // above all of them
)

var errBinary = errors.New("heartbeat: malformed state")

// AppendBinary appends the encoding of s to dst, for UnmarshalBinary, perhaps in
// another process. The error is always nil; encoding.BinaryAppender demands it.
func (s *State) AppendBinary(dst []byte) ([]byte, error) {
	var flags byte
	if s.paused {
		flags |= flagPaused
	}
	if s.measured {
		flags |= flagMeasured
	}
	if s.delayed {
		flags |= flagDelayed
	}
	if s.heard {
		flags |= flagHeard
	}
	flags |= byte(s.manner) << mannerAt
	dst = append(dst, binaryFormat, byte(s.status), s.open, flags, byte(s.wait))
	for _, v := range [...]uint64{uint64(s.at), uint64(s.sentAt), s.payload, uint64(s.rtt)} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	for i := 0; i < int(s.open)-1; i++ {
		dst = binary.BigEndian.AppendUint64(dst, s.earlier[i].payload)
		dst = binary.BigEndian.AppendUint64(dst, uint64(s.earlier[i].sentAt))
	}
	return dst, nil
}

// UnmarshalBinary restores what AppendBinary wrote. It returns an error, and does not
// change s, if b encodes no possible State.
func (s *State) UnmarshalBinary(b []byte) error {
	if len(b) < binaryHead || b[0] != binaryFormat || b[3] >= flagsEnd {
		return errBinary
	}
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	restored := State{
		status:   status(b[1]),
		open:     b[2],
		paused:   b[3]&flagPaused != 0,
		measured: b[3]&flagMeasured != 0,
		delayed:  b[3]&flagDelayed != 0,
		heard:    b[3]&flagHeard != 0,
		manner:   manner(b[3] >> mannerAt),
		wait:     Wait(b[4]),
		at:       Time(u64(5)),
		sentAt:   Time(u64(13)),
		payload:  u64(21),
		rtt:      time.Duration(u64(29)),
	}
	earlier := max(int(restored.open)-1, 0)
	if !restored.possible() || len(b) != binaryHead+earlier*binaryPing {
		return errBinary
	}
	if earlier > 0 {
		restored.earlier = new(earlierPings)
	}
	for i := range earlier {
		at := binaryHead + i*binaryPing
		restored.earlier[i] = ping{u64(at), Time(u64(at + 8))}
	}
	*s = restored
	return nil
}

// possible reports whether s can be the result of calls of its methods.
func (s *State) possible() bool {
	return s.status <= pressing && s.wait <= Arrived && s.open <= maxOpen && s.manner <= behind &&
		(s.status != owed || s.open > 0 && !s.settled()) &&
		(!s.settled() && s.manner != behind || s.open > 0)
}

// settled reports whether the latest ping has its answer, although pings are open.
func (s *State) settled() bool { return s.manner == otherwise || s.manner == replied }
