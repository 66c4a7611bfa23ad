package proxy

import (
	"bytes"
	"errors"
	"io"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/frame"
)

// readable reads once from a leg and passes on what came. One read in a turn keeps a busy
// session from starving the others: epoll is level-triggered, so what is left is reported
// again.
func (l *loop) readable(s *session, from Side) {
	g := &s.legs[from]
	if l.absence.away {
		l.excuse(s, from)
	}
	switch g.in {
	case inOpen:
	case inDiscard:
		l.discard(s, from)
		return
	case inEnded:
		return
	}
	chunk := l.in[:]
	n, err := g.io.Read(chunk[frame.MaxHeld:frame.MaxHeld+readSize], l.share(s, from))
	if err == errAgain {
		l.keepPace(s, from, &frame.Counts{}) // with TLS a byte may have been read that is not a whole record
		return
	}
	if err != nil {
		l.lost(s, from, err)
		return
	}
	inside := g.insideFrame()
	start := frame.MaxHeld - g.unhold(chunk[:frame.MaxHeld])
	l.count(s, from, n)

	l.take(s, from, chunk[start:frame.MaxHeld+n])
	g.beat.Heard(&l.rules[from], l.now, inside || g.insideFrame())
	s.hears(from, l.now)
}

// A control frame costs as much as some kilobytes of data. A read is crowded if it
// brought at least crowd control frames, and one or more for every crowdSpacing bytes.
const (
	crowd        = 16
	crowdSpacing = 64
	crowdedRead  = 1 << 10
)

// share returns how many bytes the leg's next read may take: readSize, or less after a
// crowded read, so that a turn costs about the same, or less by the leg's pace. A session
// with extras needs room for them in the other leg's tail.
func (l *loop) share(s *session, from Side) int {
	most := readSize
	switch {
	case s.legs[from].crowded:
		most = crowdedRead
	case l.extras != nil:
		most = readSize - extraRoom
	}
	if l.extras == nil {
		return most
	}
	return l.paced(s, from, most)
}

// firstShare returns how many bytes a read of a handshake may take: what comes behind the head
// is scanned as one read when the session opens.
func (l *loop) firstShare() int {
	if l.cfg.needsExtras() {
		return readSize - extraRoom
	}
	return readSize
}

// unhold moves the bytes that were held back to the end of room, and returns how many
// they are.
func (g *leg) unhold(room []byte) int {
	if g.held == nil {
		return 0
	}
	n := copy(room[len(room)-len(g.held.bytes):], g.held.bytes)
	g.held = nil
	return n
}

func (g *leg) hold(b []byte) {
	if len(b) == 0 {
		return
	}
	g.held = &held{bytes: bytes.Clone(b)}
}

func (l *loop) count(s *session, from Side, n int) {
	s.legs[from].received += uint64(n)
	s.legs[from].backlog.catchUp(n)
	if l.extras != nil {
		l.countExtra(s, from, n)
	}
	l.metrics.Received(from, n)
}

// take scans bytes from a leg. Data frames are passed on verbatim, and control frames are
// cut out and decided on. A frame that breaks the protocol ends the session at its first
// byte. What is passed on is moved together at the start of b, so that one write sends
// it, however many frames were cut out in between.
func (l *loop) take(s *session, from Side, b []byte) {
	g, to := &s.legs[from], opposite(from)
	before := l.doubt(to)
	var seen frame.Counts
	size, controls := len(b), 0
	at, run := 0, 0 // b[at:] is to be scanned, b[:run] to be passed on
	for at < len(b) && g.in == inOpen {
		r := g.scan.Scan(b[at:], &l.limits, s.legs[to].gap(l.now, l.hasTexts(s, to)), &seen)
		if run < at { // a frame was cut out before
			copy(b[run:], b[at:at+r.Pass])
		}
		run += r.Pass
		at += r.Pass
		if r.Pass > 0 {
			s.lastData = l.now
			if l.extras != nil {
				l.heardApp(s, from)
			}
		}
		if r.Stop == frame.Message {
			var drop int
			r, drop = l.judgeMessage(s, from, b[at:], &seen)
			at += drop
		}
		switch r.Stop {
		case frame.Boundary:
			l.passOn(s, from, b[:run])
			b, at, run = b[at:], 0, 0
			l.inject(s, to)
		case frame.Control:
			raw := b[at : at+r.Size]
			began := g.received - uint64(len(b)-at)
			at += r.Size
			controls++
			switch l.control(s, from, raw, began) {
			case pass:
				run += copy(b[run:], raw)
			case beginClose:
				l.passOn(s, from, b[:run])
				run = 0
				if len(b)-at+r.Size < size {
					s.hears(from, l.now) // the Close is not all that came
				}
				l.closeReceived(s, from, raw, &l.frame)
			case swallow, answer: // control did all of it
			}
		case frame.Broken:
			l.passOn(s, from, b[:run])
			run = 0
			if len(b)-at < size {
				s.hears(from, l.now) // the broken frame is not all that came
			}
			l.violated(s, from, r.Violation, r.Violation.Detail(b[at:]))
		case frame.More:
			g.hold(b[at:])
			at = len(b)
		case frame.Message: // judgeMessage did all of it
		}
	}
	l.passOn(s, from, b[:run])
	l.faults.unsure[to] = before
	g.crowded = controls >= crowd && controls*crowdSpacing >= size
	l.countFrames(g, from, &seen)
	if l.extras != nil {
		l.keepPace(s, from, &seen)
	}
	l.flush(s, from) // the pong to the peer's latest ping
	l.flush(s, to)   // frames of ours that waited for a gap between frames from this leg
}

// passOn writes a run of frames to the other leg. If that leg takes nothing more, the run
// is dropped and counted as waste.
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

// discard reads and drops bytes. What a peer sends after its Close does not matter (RFC
// 6455 1.4). But if it were left unread, closing the socket would send a reset, which can
// destroy what was written last.
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

// sending is the result of send.
type sending uint8

const (
	gone sending = iota // all bytes are in the kernel
	kept                // the last byte is in the tail
	lost                // the leg takes nothing any more
)

// send writes the next bytes of a leg's stream, and puts into the tail what the socket
// does not take. The caller keeps to frame boundaries.
func (l *loop) send(s *session, to Side, b []byte) sending {
	g := &s.legs[to]
	if !g.takes() {
		return lost
	}
	before := l.doubt(to)
	if g.tail == nil {
		n, err := g.write(b)
		if err != nil {
			l.broke(s, to, lostReason(err))
			return lost
		}
		l.countSent(g, to, n)
		if n == len(b) {
			l.faults.unsure[to] = before
			return gone
		}
		b = b[n:]
		g.tail = l.tails.get()
		g.tail.by = g.tail.wait.Ask(l.now, l.patience.write)
		g.io.Outlast() // from now on WRITE_TIMEOUT is the measure
		l.moves(g)
	}
	g.tail.append(b)
	l.metrics.Buffered(to, len(b))
	l.faults.unsure[to] = before
	return kept
}

// write writes once to the socket. A full socket is not an error: write returns 0.
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

// writable writes a leg's tail. When the tail is gone, it writes the frames of ours that
// waited for that.
func (l *loop) writable(s *session, side Side) {
	g := &s.legs[side]
	t := g.tail
	if t == nil {
		return
	}
	pinging, appPinging := g.pingInTail(), t.appEnd > t.from
	if pinging {
		l.marksUnread(s, side)
	}
	before := l.doubt(side)
	n, err := g.write(t.bytes())
	if err != nil {
		l.broke(s, side, lostReason(err))
		return
	}
	t.from += n
	l.faults.unsure[side] = before
	if n == 0 {
		return
	}
	l.countSent(g, side, n)
	l.metrics.Buffered(side, -n)
	t.by = t.wait.Ask(l.now, l.patience.write)
	l.moves(g)
	if pinging && !g.pingInTail() {
		l.pinged(s, side, t.ping, true)
	}
	if appPinging && t.from >= t.appEnd {
		l.appPinged(s, side, true)
	}
	if t.from < t.to {
		return
	}
	l.dropTail(g, side)
	g.flushed(l.now, &l.patience)
	l.flush(s, side)
}

// dropTail gives a leg's tail back to the pool, with the bytes that are left in it.
func (l *loop) dropTail(g *leg, side Side) {
	if g.tail == nil {
		return
	}
	l.metrics.Buffered(side, -len(g.tail.bytes()))
	l.tails.put(g.tail)
	g.tail = nil
}

// broke records that a write to a leg failed. That does not end the session yet: the peer
// may have sent a Close before it reset the connection, and that Close is still to be
// read.
func (l *loop) broke(s *session, side Side, why Reason) {
	g := &s.legs[side]
	g.broke(l.now, &l.patience, why)
	l.dropTail(g, side)
}

// readInterest is wanted of a descriptor that is read. The end of the peer's direction is
// reported as In as well. Ended reports it without a read, so that a handshake can see
// its client go.
const readInterest = epoll.In | epoll.Ended

// errUnread is the error of a leg that ends after a failed write, before the end of its
// stream was read.
var errUnread = errors.New("a write failed, and the stream did not end")

// stuck reports whether the deadline of the leg's tail has passed.
func (g *leg) stuck(now heartbeat.Time) bool { return g.tail != nil && now >= g.tail.by }

// watch updates what the poller waits for to the session's state.
func (l *loop) watch(s *session) {
	if p := l.paceOf(s, client); p != nil && p.slowed && !s.keepsPace() {
		l.quickens(s, p)
	}
	for _, side := range sides {
		g, other := &s.legs[side], &s.legs[opposite(side)]
		if g.io == nil {
			l.pause(s, side, false)
			continue
		}
		l.pause(s, side, g.in == inOpen && other.tail != nil)
		var want epoll.Ready
		if g.in == inDiscard || g.in == inOpen && !g.paused && !l.slowed(s, side) {
			want |= readInterest
		}
		if g.tail != nil {
			want |= epoll.Out
		}
		if !l.want(s, side, want) {
			l.watch(s) // a leg is closed now, and the other may have waited for it
			return
		}
	}
}

// pause stops or resumes reading a leg. A peer that is not read cannot miss a pong.
func (l *loop) pause(s *session, side Side, paused bool) {
	g := &s.legs[side]
	if g.paused == paused {
		return
	}
	if paused {
		g.pauses(l.now)
		l.deafens(s, side)
		l.metrics.Paused(side, 1)
		return
	}
	l.metrics.Paused(side, -1)
	g.resumes(l.now)
	l.listens(s, side) // it asks the kernel, which may panic
}

// deafens stops the deadlines of the heartbeats on a leg that is not read.
func (l *loop) deafens(s *session, side Side) {
	s.legs[side].beat.Pause()
	if a := l.app(s, side); a != nil {
		a.beat.Pause()
	}
}

// listens restarts those deadlines, if the leg is neither paused nor slowed. Unread bytes
// are read before a deadline is judged.
func (l *loop) listens(s *session, side Side) {
	g := &s.legs[side]
	if g.paused || l.slowed(s, side) {
		return
	}
	unread := g.io != nil && g.beat.Owes() && g.io.Unread() > 0
	g.beat.Resume(&l.rules[side], l.now, unread)
	if a := l.app(s, side); a != nil {
		a.beat.Resume(&l.apps[side].rules, l.now, g.io != nil && a.beat.Owes() && g.io.Unread() > 0)
	}
}

// want tells the poller what to wait for on a leg. A descriptor of which nothing is
// wanted is removed: epoll would report its death again and again while the loop cannot
// read it. want returns false if the poller failed; the leg is closed then, see
// unwatched.
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

// lostReason returns the reason that err, from a read or a write, gives for the end of a
// peer's TCP.
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
