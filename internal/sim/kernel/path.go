package kernel

import "time"

// A Path is one direction of a TCP connection. Its fields may be changed at any time, for
// what is sent from then on.
type Path struct {
	// Latency is how long a segment takes.
	Latency time.Duration
	// Rate is how many bytes pass in a second; 0 is without a limit.
	Rate int
	// Segment is how many bytes the next segment may have, 1 or more; nil is maxSegment.
	Segment func() int
	// Lost says that everything is lost. TCP sends again until it gets through.
	Lost bool
	// Stalled is the time before which nothing arrives.
	Stalled time.Duration

	free time.Duration // when all that was sent has left
	last time.Duration // when all that was sent has arrived
	cut  cut
}

// maxSegment is how many bytes a segment has at the most, as on the loopback interface.
const maxSegment = 64 << 10

func (p *Path) segment() int {
	if p.Segment == nil {
		return maxSegment
	}
	return max(1, p.Segment())
}

// arrival is when a segment arrives that is sent now. No segment overtakes another.
func (p *Path) arrival(now time.Duration, size int) time.Duration {
	p.free = max(p.free, now)
	if p.Rate > 0 {
		p.free += time.Duration(size) * time.Second / time.Duration(p.Rate)
	}
	p.last = max(p.last, p.free+p.Latency, p.Stalled)
	return p.last
}

// A cut is what something in between does to the stream at a position.
type cut struct {
	kind cutKind
	at   int64
}

type cutKind uint8

const (
	uncut      cutKind = iota
	resetThere         // a reset is sent to the receiver
	endThere           // the stream ends for the receiver, and the rest is lost
)

// ResetAt resets the receiver of what is written here, once it has had so many bytes of
// the stream. The writer learns of it when it sends more.
func (s *Socket) ResetAt(position int64) { s.cutAt(cut{resetThere, position}) }

// EndAt ends the stream for its receiver at a position. The rest is lost, and the writer
// takes the acknowledgement of this end for that of the next byte.
func (s *Socket) EndAt(position int64) { s.cutAt(cut{endThere, position}) }

func (s *Socket) cutAt(c cut) {
	s.Out.cut = c
	s.applyCut(&segment{seq: s.sent})
	s.m.Advance()
}

// applyCut shortens a segment that goes beyond the cut, and sends what is to come there.
// It reports whether nothing of the segment is left.
func (s *Socket) applyCut(seg *segment) (all bool) {
	c := s.Out.cut
	keep := max(0, c.at-seg.seq)
	if c.kind == uncut || int64(len(seg.data)) < keep {
		return false
	}
	s.Out.cut = cut{}
	if keep > 0 {
		s.emit(segment{seq: seg.seq, data: seg.data[:keep]})
	}
	seg.seq, seg.data = seg.seq+keep, seg.data[keep:]
	s.emit(segment{seq: seg.seq, rst: c.kind == resetThere, fin: c.kind == endThere})
	s.Out.Lost = s.Out.Lost || c.kind == endThere
	return len(seg.data) == 0 && !seg.fin
}
