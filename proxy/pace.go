package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/frame"
)

// A client may be allowed so many frames and so many bytes a second (Config.ClientPace). A
// client that sends more is read more slowly, and its TCP slows its program down. Nothing is
// dropped, and the order stays.
//
// Each read takes no more than there are tokens for (paced). When a read has used the tokens
// up, keepPace begins a pause in which the client is not read. The pause ends at a timer
// (endSlow), which reads at once: so a client over its pace costs one timer a pause, and the
// poller does not hear of it.
//
// A pause is short. So the deadlines of the session run on, except those of the client's
// heartbeat: its pong may lie unread. Before a leg is given up because a Close does not come,
// the leg is read once more (lastWord).

const (
	// shortestSlow is the shortest pause, so that a client does not cause a timer for each of
	// its frames.
	shortestSlow = 50 * time.Millisecond
	// longestSlow is the longest pause. A client that owes more tokens than come in it is
	// read after it all the same, one byte. So the end of its stream is seen soon.
	longestSlow = time.Second
	// smallestFrame is the size of an empty frame of a client's, with its mask key.
	smallestFrame = 2 + 4
	// smallestTLS is the least that a read of a TLS leg takes while there are tokens. TLS
	// delivers what is in a record when all of it has come, so smaller reads only cost more.
	smallestTLS = 1 << 10
)

// limits reports whether there is any limit.
func (p *Pace) limits() bool { return p.Frames > 0 || p.Bytes > 0 }

// pace is what a client's pace is kept with.
type pace struct {
	frames, bytes bucket
	slowed        bool           // the client is not read until until
	until         heartbeat.Time // when the latest pause ends
}

func (p *pace) begin(rates *Pace, now heartbeat.Time) {
	*p = pace{frames: newBucket(rates.Frames, now), bytes: newBucket(rates.Bytes, now)}
}

// paceOf returns the pace of a leg, or nil if the leg has none.
func (l *loop) paceOf(s *session, side Side) *pace {
	if side != client || l.extras == nil {
		return nil
	}
	if x := l.extrasOf(s); x != nil && l.cfg.ClientPace.limits() {
		return &x.pace
	}
	return nil
}

// slowed reports whether a leg is not read because of its pace.
func (l *loop) slowed(s *session, side Side) bool {
	p := l.paceOf(s, side)
	return p != nil && p.slowed
}

// wasSlowed reports whether a leg was not read until now because of its pace. Then what lies
// unread has not waited for the loop.
func (l *loop) wasSlowed(s *session, side Side) bool {
	p := l.paceOf(s, side)
	return p != nil && l.now.Sub(p.until) < l.absence.from
}

// keepsPace reports whether what comes from the client is still passed on. Otherwise there
// is nothing to protect, and the client is read to its end.
func (s *session) keepsPace() bool {
	g := &s.legs[client]
	return g.io != nil && g.in == inOpen && s.legs[upstream].takes()
}

// paced returns how many of most bytes the next read of a leg may take, at least 1. A slowed
// leg is read only by lastWord, and then there is no limit.
func (l *loop) paced(s *session, side Side, most int) int {
	p := l.paceOf(s, side)
	if p == nil || p.slowed || !s.keepsPace() {
		return most
	}
	g := &s.legs[side]
	bytes := p.bytes.whole(l.now, readSize)
	if p.frames.rate > 0 {
		bytes = min(bytes, g.bytesOf(p.frames.whole(l.now, readSize)))
	}
	switch {
	case bytes == 0:
		return 1
	case l.cfg.TLS != nil:
		bytes = max(bytes, smallestTLS)
	}
	return min(most, bytes)
}

// bytesOf returns how many bytes can be read without more than n frames being in them: the
// rest of the frame that has begun, and n frames of the smallest size.
func (g *leg) bytesOf(n int) int {
	size := int(min(g.scan.Left(), readSize)) + n*smallestFrame
	if n > 0 && g.held != nil { // its frame is one of the n
		size += max(0, frame.Missing(g.held.bytes)-smallestFrame)
	}
	return size
}

// paceBytes takes the tokens for n bytes that were read.
func (l *loop) paceBytes(s *session, from Side, n int) {
	if p := l.paceOf(s, from); p != nil {
		p.bytes.take(l.now, n)
	}
}

// keepPace takes the tokens for the frames that were read. If there is no token left, it
// begins a pause. A leg that waits for the other leg's tail is not read in any case.
func (l *loop) keepPace(s *session, from Side, seen *frame.Counts) {
	p := l.paceOf(s, from)
	if p == nil {
		return
	}
	for _, n := range seen {
		p.frames.take(l.now, int(n))
	}
	if p.slowed || !s.keepsPace() || s.legs[opposite(from)].tail != nil {
		return
	}
	wait := p.bytes.wait(l.now, longestSlow)
	if !s.legs[from].scan.MidFrame() { // the rest of a frame costs no token
		wait = max(wait, p.frames.wait(l.now, longestSlow))
	}
	if wait == 0 {
		return
	}
	p.slowed, p.until = true, l.now.Add(max(wait, shortestSlow))
	l.deafens(s, from)
	l.metrics.ReadThrottled(from)
}

// endSlow ends a pause whose time is over, and reads what has come. It returns false if the
// session has ended with that.
func (l *loop) endSlow(s *session) bool {
	p := l.paceOf(s, client)
	if p == nil || !p.slowed || l.now < p.until {
		return true
	}
	l.quickens(s, p)
	if g := &s.legs[client]; g.io != nil && !g.paused {
		l.readable(s, client)
	}
	return l.table.holds(s)
}

// lastWord reads a slowed leg whose time is over, and reports whether the end of what its
// peer sends has come with that. The tail of a leg that takes nothing is not waited for.
func (l *loop) lastWord(s *session, side Side) bool {
	g := &s.legs[side]
	if !l.slowed(s, side) || g.tail != nil || g.paused {
		return false
	}
	l.readable(s, side)
	return g.in != inOpen
}

// quickens ends a pause.
func (l *loop) quickens(s *session, p *pace) {
	p.slowed = false
	l.listens(s, client) // it asks the kernel, which may panic
}

// slowEnds returns when the pause of a leg ends.
func (l *loop) slowEnds(s *session, side Side) heartbeat.Time {
	if p := l.paceOf(s, side); p != nil && p.slowed {
		return p.until
	}
	return heartbeat.Never
}
