package heartbeat

import "encoding/binary"

// maxOpen is how many open pings are remembered. A fifth one replaces the first, whose
// echo would measure the path as it was long ago.
const maxOpen = 4

// payloadSize is the size of our pings' payload in bytes.
const payloadSize = 8

// ping is an open ping that a later one has followed.
type ping struct {
	payload uint64
	sentAt  Time // Never: its round trip is not measured
}

// earlierPings are the open pings before the latest, newest first. Most peers
// answer each ping before the next, so State allocates them only when needed.
type earlierPings [maxOpen - 1]ping

// AppendPayload appends the payload of ping p, as it goes on the wire, to dst.
func AppendPayload(dst []byte, p uint64) []byte {
	return binary.BigEndian.AppendUint64(dst, p)
}

// remember makes a ping the latest. The latest until now, if it is still open, becomes
// the newest of the earlier ones.
func (s *State) remember(payload uint64, now Time) {
	if s.open > 0 {
		if s.earlier == nil {
			s.earlier = new(earlierPings)
		}
		copy(s.earlier[1:], s.earlier[:])
		s.earlier[0] = ping{s.payload, s.sentAt}
		if s.delayed {
			s.earlier[0].sentAt = Never
		}
	}
	s.payload, s.sentAt = payload, now
	s.open = min(s.open+1, maxOpen)
}

// AllAnswered reports whether the peer has answered every ping that was sent.
func (s *State) AllAnswered() bool { return s.open == 0 }

// unmeasure marks all open pings: their round trips are not to be measured.
func (s *State) unmeasure() {
	s.delayed = true
	for i := range int(s.open) - 1 {
		s.earlier[i].sentAt = Never
	}
}

// answer finds the open ping that a pong echoes. That ping and all before it are no
// longer open. sentAt is when that ping was sent, and latest is true if it is the
// latest. ok is false if pong echoes no open ping.
func (s *State) answer(pong []byte) (sentAt Time, latest, ok bool) {
	if s.open == 0 || len(pong) != payloadSize {
		return 0, false, false
	}
	payload := binary.BigEndian.Uint64(pong)
	if payload == s.payload {
		s.open = 0
		return s.sentAt, true, true
	}
	for i := range s.open - 1 {
		if p := s.earlier[i]; p.payload == payload {
			s.open = i + 1
			return p.sentAt, false, true
		}
	}
	return 0, false, false
}
