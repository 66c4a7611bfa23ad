package proxy

import (
	"errors"
	"io"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/frame"
)

// readable takes one read from a leg and passes on what it brought. One read a
// turn is also what keeps a busy session from starving the others: epoll is
// level-triggered, and what is left comes up again.
func (l *loop) readable(s *session, from Side) {
	g := &s.legs[from]
	switch g.in {
	case inOpen:
	case inDiscard:
		l.discard(s, from)
		return
	case inEnded:
		return
	}
	chunk := l.in[:]
	n, err := g.io.Read(chunk[frame.MaxHeld:frame.MaxHeld+readSize], g.share())
	if err == errAgain {
		return
	}
	if err != nil {
		l.lost(s, from, err)
		return
	}
	start := frame.MaxHeld - g.unhold(chunk[:frame.MaxHeld])
	l.count(s, from, n)

	inside := g.insideFrame() || start < frame.MaxHeld
	l.take(s, from, chunk[start:frame.MaxHeld+n])
	g.beat.Heard(&l.rules[from], l.now, inside || g.insideFrame())
}

// A control frame costs as much as kilobytes of data. A read that brought crowd of
// them or more, one in every crowdSpacing bytes, is a crowded one.
const (
	crowd        = 16
	crowdSpacing = 64
	crowdedRead  = 1 << 10
)

// share is how much the leg's next read may take. One read a turn is its share of
// the loop; one that sends control frames in crowds has a share of the same cost.
func (g *leg) share() int {
	if g.crowded {
		return crowdedRead
	}
	return readSize
}

// unhold puts the bytes that were held back at the end of room, and says how many they are.
func (g *leg) unhold(room []byte) int {
	if g.held == nil {
		return 0
	}
	n := g.held.n
	copy(room[len(room)-n:], g.held.buf[:n])
	g.held = nil
	return n
}

func (g *leg) hold(b []byte) {
	if len(b) == 0 {
		return
	}
	g.held = &held{n: len(b)}
	copy(g.held.buf[:], b)
}

func (l *loop) count(s *session, from Side, n int) {
	s.legs[from].received += uint64(n)
	s.legs[from].catchUp(n)
	l.metrics.Received(from, n)
}

// take scans bytes from a leg: data frames are passed on verbatim, control frames
// are cut out and decided on, and the first byte of a frame that breaks the
// protocol ends it. What is passed on is moved together at the start of b and
// written at once, however many frames were cut out in between.
func (l *loop) take(s *session, from Side, b []byte) {
	g, to := &s.legs[from], opposite(from)
	var seen frame.Counts
	size, controls := len(b), 0
	at, run := 0, 0 // b[at:] is to be scanned, b[:run] to be passed on
	for at < len(b) && g.in == inOpen {
		r := g.scan.Scan(b[at:], l.longest, s.legs[to].wants(), &seen)
		if run < at { // something was cut out before
			copy(b[run:], b[at:at+r.Pass])
		}
		run += r.Pass
		at += r.Pass
		if r.Pass > 0 {
			s.lastData = l.now
		}
		switch r.Stop {
		case frame.Boundary:
			l.passOn(s, from, b[:run])
			b, at, run = b[at:], 0, 0
			l.inject(s, to)
		case frame.Control:
			raw := b[at : at+r.Size]
			at += r.Size
			controls++
			switch l.control(s, from, raw) {
			case pass:
				run += copy(b[run:], raw)
			case beginClose:
				l.passOn(s, from, b[:run])
				run = 0
				l.closeReceived(s, from, raw, &l.frame)
			case swallow, answer, noteAnswer: // control has done it
			}
		case frame.Broken:
			l.passOn(s, from, b[:run])
			run = 0
			l.violated(s, from, r.Violation)
		case frame.More:
			g.hold(b[at:])
			at = len(b)
		}
	}
	l.passOn(s, from, b[:run])
	g.crowded = controls >= crowd && controls*crowdSpacing >= size
	l.countFrames(g, from, &seen)
	l.flush(s, from) // the pong to the last of the peer's pings
	l.flush(s, to)   // what was due to the other leg while this one was inside a frame
}

// passOn writes a run of frames to the other leg. If that takes nothing any more,
// they are wasted.
func (l *loop) passOn(s *session, from Side, run []byte) {
	if len(run) == 0 {
		return
	}
	to := opposite(from)
	if !s.legs[to].takes() {
		l.wasted(s, from, len(run))
		return
	}
	l.send(s, to, run)
}

func (l *loop) countFrames(g *leg, from Side, seen *frame.Counts) {
	for op, n := range seen {
		if n == 0 {
			continue
		}
		l.metrics.Frames(from, uint8(op), uint64(n))
		if ws.OpCode(op).IsData() || ws.OpCode(op) == ws.OpContinuation {
			g.frames += uint64(n)
		}
	}
}

// discard reads and throws away. RFC 6455 1.4: after its Close a peer sends
// nothing that matters; but were it left unread, closing the socket would send
// a reset, which can destroy what we wrote last.
func (l *loop) discard(s *session, from Side) {
	n, err := s.legs[from].io.Read(l.in[:], readSize)
	switch {
	case err == errAgain:
	case err != nil:
		l.lost(s, from, err)
	default:
		l.count(s, from, n)
		l.wasted(s, from, n)
	}
}

// sending is what became of bytes that were sent.
type sending uint8

const (
	gone sending = iota // all of them are in the kernel
	kept                // the last of them stands in the tail
	lost                // the leg takes nothing any more
)

// send writes bytes that stand next in a leg's stream, and keeps what the
// socket does not take. The caller keeps to frame boundaries.
func (l *loop) send(s *session, to Side, b []byte) sending {
	g := &s.legs[to]
	if !g.takes() {
		return lost
	}
	if g.tail == nil {
		n, err := g.write(b)
		if err != nil {
			l.broke(s, to, lostReason(err))
			return lost
		}
		l.countSent(g, to, n)
		if n == len(b) {
			return gone
		}
		b = b[n:]
		g.tail = l.tails.get()
		g.tail.by = g.tail.wait.Ask(l.now, l.patience.write)
		l.moves(g)
	}
	g.tail.append(b)
	l.metrics.Buffered(to, len(b))
	return kept
}

// write is one write; a full socket is no error, it takes nothing.
func (g *leg) write(b []byte) (n int, err error) {
	if g.parting {
		n, err = g.io.WriteLast(b)
	} else {
		n, err = g.io.Write(b)
	}
	if err == errAgain {
		return 0, nil
	}
	return n, err
}

func (l *loop) countSent(g *leg, to Side, n int) {
	g.sent += uint64(n)
	l.metrics.Sent(to, n)
}

// writable writes a leg's tail, and once it is gone what had to wait for that.
func (l *loop) writable(s *session, side Side) {
	g := &s.legs[side]
	t := g.tail
	if t == nil {
		return
	}
	n, err := g.write(t.bytes())
	if err != nil {
		l.broke(s, side, lostReason(err))
		return
	}
	if n == 0 {
		return
	}
	pinging := g.pingInTail()
	t.from += n
	l.countSent(g, side, n)
	l.metrics.Buffered(side, -n)
	t.by = t.wait.Ask(l.now, l.patience.write)
	l.moves(g)
	if pinging && !g.pingInTail() {
		l.pinged(s, side, t.ping, true)
	}
	if t.from < t.to {
		return
	}
	l.dropTail(g, side)
	g.flushed(l.now, &l.patience)
	l.flush(s, side)
}

// dropTail gives a leg's tail back, with whatever is left in it.
func (l *loop) dropTail(g *leg, side Side) {
	if g.tail == nil {
		return
	}
	l.metrics.Buffered(side, -len(g.tail.bytes()))
	l.tails.put(g.tail)
	g.tail = nil
}

// broke notes that a leg takes nothing more. The leg is not lost yet: its peer may
// have sent a Close before it reset the connection, and that is still to be read.
func (l *loop) broke(s *session, side Side, why Reason) {
	g := &s.legs[side]
	g.broke(l.now, &l.patience, why)
	l.dropTail(g, side)
}

// readInterest is what is wanted of a descriptor that is read. The end of the
// peer's direction comes up as readable in any case; that it is also said
// apart lets a handshake see a client go without reading what it sent.
const readInterest = epoll.In | epoll.Ended

// errUnread stands for the end of a stream that a failed write announced and
// that has not come.
var errUnread = errors.New("a write failed, and the stream did not end")

// stuck reports whether a leg has taken no byte for so long that it is looked at.
func (g *leg) stuck(now heartbeat.Time) bool { return g.tail != nil && now >= g.tail.by }

// watch brings what the poller waits for in line with the session's state.
func (l *loop) watch(s *session) {
	for _, side := range sides {
		g, other := &s.legs[side], &s.legs[opposite(side)]
		if g.io == nil {
			l.pause(g, side, false)
			continue
		}
		l.pause(g, side, g.in == inOpen && other.tail != nil)
		var want epoll.Ready
		if g.in == inDiscard || g.in == inOpen && !g.paused {
			want |= readInterest
		}
		if g.tail != nil {
			want |= epoll.Out
		}
		if !l.want(s, side, want) {
			l.watch(s) // a leg is closed now, for which the other may have waited
			return
		}
	}
}

// pause stops or resumes reading a leg. Meanwhile its peer cannot miss a pong.
func (l *loop) pause(g *leg, side Side, paused bool) {
	if g.paused == paused {
		return
	}
	if paused {
		g.pauses(l.now)
		l.metrics.Paused(side, 1)
		return
	}
	g.resumes(&l.rules[side], l.now)
	l.metrics.Paused(side, -1)
}

// want tells the poller what a leg waits for. A leg that waits for nothing is taken out:
// epoll would report its death again and again, and it cannot be read yet. want returns
// false if the poller failed; the leg is closed then, see unwatched.
func (l *loop) want(s *session, side Side, want epoll.Ready) bool {
	g := &s.legs[side]
	if g.interest == want {
		return true
	}
	var err error
	switch {
	case want == 0:
		err = l.kernel.Remove(g.io.FD())
	case g.interest == 0:
		err = l.kernel.Add(g.io.FD(), l.table.token(s, side), want)
	default:
		err = l.kernel.Modify(g.io.FD(), l.table.token(s, side), want)
	}
	if err != nil {
		l.unwatched(s, side, err)
		return false
	}
	g.interest = want
	return true
}

// unwatched ends a session, one of whose legs the poller could not be told about. That
// leg is closed at once, since only closing makes the poller forget it.
func (l *loop) unwatched(s *session, side Side, err error) {
	l.internal(s, err)
	if l.table.holds(s) {
		l.cutShort(s, side)
		l.settle(s)
	}
}

// lostReason tells apart how a peer's TCP ended.
func lostReason(err error) Reason {
	switch {
	case err == io.EOF:
		return metrics.EOF
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return metrics.Reset
	default:
		return metrics.IOError
	}
}
