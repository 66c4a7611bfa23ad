package heartbeat

import (
	"encoding/base64"
	"encoding/binary"
)

// maxOpen is how many open pings are remembered. A fifth one replaces the first, whose
// echo would measure the path as it was long ago.
const maxOpen = 4

// payloadSize is the size of our pings' payload on the wire, in bytes.
const payloadSize = 8

// ping is an open ping that a later one has followed.
type ping struct {
	payload uint64
	sentAt  Time // Never: its round trip is not measured
}

// earlierPings are the open pings before the latest, newest first. Most peers
// answer each ping before the next, so State allocates them only when needed.
type earlierPings [maxOpen - 1]ping

// AppendPayload appends the payload of ping p, as it goes on the wire, to dst: the low 48
// bits of p as 8 characters of base64url (RFC 4648, section 5). Some peers echo a payload
// as a C string or as text, so it has no NUL and only printable ASCII.
func AppendPayload(dst []byte, p uint64) []byte {
	var bits [8]byte
	binary.BigEndian.PutUint64(bits[:], p)
	return base64.RawURLEncoding.AppendEncode(dst, bits[2:])
}

// echoes reports whether a pong's payload is that of ping p.
func echoes(pong []byte, p uint64) bool {
	var payload [payloadSize]byte
	return string(pong) == string(AppendPayload(payload[:0], p))
}

// remember makes a ping the latest. The latest until now, if it is still open, becomes
// the newest of the earlier ones. Pings that were answered without an echo are forgotten.
func (s *State) remember(payload uint64, now Time) {
	switch s.manner {
	case otherwise:
		s.open, s.manner = 0, unknown
	case replied: // the others may still have their replies to come
		s.manner = behind
	case behind: // the latest had none
		s.manner = unknown
	case unknown, byEcho:
	}
	if s.open > 0 {
		if s.earlier == nil {
			s.earlier = new(earlierPings)
		}
		copy(s.earlier[1:], s.earlier[:])
		s.earlier[0] = ping{s.payload, s.latestSentAt()}
	}
	s.payload, s.sentAt = payload, now
	s.open = min(s.open+1, maxOpen)
}

// AllEchoed reports whether the peer has echoed the latest ping.
func (s *State) AllEchoed() bool { return s.open == 0 }

// Echoes reports whether the peer has ever echoed a ping.
func (s *State) Echoes() bool { return s.manner == byEcho }

// unmeasure marks all open pings: their round trips are not to be measured.
func (s *State) unmeasure() {
	s.delayed = true
	for i := range int(s.open) - 1 {
		s.earlier[i].sentAt = Never
	}
}

// echoed finds the open ping that a pong echoes. That ping and all before it are no
// longer open. sentAt is when that ping was sent, or Never if its round trip is not
// measured, and latest is true if it is the latest. ok is false if pong echoes no open
// ping.
func (s *State) echoed(pong []byte) (sentAt Time, latest, ok bool) {
	if s.open == 0 || len(pong) != payloadSize {
		return 0, false, false
	}
	if echoes(pong, s.payload) {
		s.open = 0
		return s.latestSentAt(), true, true
	}
	for i := range s.open - 1 {
		if p := s.earlier[i]; echoes(pong, p.payload) {
			s.open = i + 1
			return p.sentAt, false, true
		}
	}
	return 0, false, false
}

// latestSentAt returns when the latest ping was sent, or Never if its round trip is not
// measured.
func (s *State) latestSentAt() Time {
	if s.delayed {
		return Never
	}
	return s.sentAt
}
