package heartbeat

import "encoding/binary"

// maxOpen is how many pings are remembered for their echo. A fifth unanswered
// one forgets the first: its echo would measure a round trip long past.
const maxOpen = 4

// payloadSize is how many bytes of payload a ping of ours has on the wire.
const payloadSize = 8

// ping is what is remembered of a ping that was overtaken by a later one.
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

// remember makes a ping the latest, and what was the latest, if it is still
// open, the newest of the earlier ones.
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

// AllAnswered reports whether the peer has answered every ping that has left.
func (s *State) AllAnswered() bool { return s.open == 0 }

// unmeasure has the round trips of all open pings not measured.
func (s *State) unmeasure() {
	s.delayed = true
	for i := range int(s.open) - 1 {
		s.earlier[i].sentAt = Never
	}
}

// answer finds the open ping that a pong echoes, and closes it and all before
// it. latest says that no ping has been sent since.
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
