package kernel

import (
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// A stream is what TCP keeps of a connection at one of its ends. Positions count the
// bytes of a direction. Its end, the FIN, takes up one more.
type stream struct {
	// What is written here.
	out     []byte // from acked on
	acked   int64
	sent    int64
	edge    int64 // up to which the peer's window is open
	finOut  bool  // it is to end behind out
	finSent bool
	finAck  bool

	// What comes here.
	next    int64 // position of the next byte
	offered int64 // the edge that the peer was told last
	finIn   bool
	gap     bool // something came from behind next
	lastAck bool // the peer's direction ended before ours

	dead      bool // TCP_CLOSE: what comes is answered with a reset
	timeWait  bool // or, if it ended well, acknowledged
	unlimited bool
	outlasts  bool          // UserTimeout does not hold
	gapThere  bool          // the peer has a gap
	heard     time.Duration // when the last segment came
	fed       time.Duration // when bytes last came
	rtt       time.Duration

	armed    bool          // a timer is in the queue
	retryAt  time.Duration // when it is to do something
	tries    int           // since the peer has acknowledged anything new
	unheard  int           // tries since a segment of the peer came
	progress time.Duration // when that was
	lostFrom int64
}

// never is a position that is not there.
const never = int64(-1)

const (
	orphanTries = 8               // in tcp_orphan_retries
	triesInAll  = 15              // net.ipv4.tcp_retries2
	retryLimit  = 2 * time.Minute // TCP_RTO_MAX in net/tcp.h
)

// A segment is what passes between the two ends.
type segment struct {
	seq  int64
	data []byte
	fin  bool
	rst  bool
	ask  bool // is to be acknowledged, though it brings nothing
	ack  int64
	edge int64
	gap  bool
	at   time.Duration // when it was sent
	echo time.Duration // when what it acknowledges was sent; 0 if it acknowledges nothing
}

// endOut is the position behind all that was written.
func (s *Socket) endOut() int64 { return s.acked + int64(len(s.out)) }

func (s *Socket) unacked() int {
	n := len(s.out)
	if s.finOut && !s.finAck {
		n++
	}
	return n
}

func (s *Socket) unsent() int {
	n := int(s.endOut() - s.sent)
	if s.finOut && !s.finSent {
		n++
	}
	return n
}

// writeTCP is tcp_sendmsg.
func (s *Socket) writeTCP(b []byte) (int, error) {
	if s.err != 0 || s.shutWrite || s.dead {
		if err := s.takeError(); err != 0 {
			return 0, err
		}
		return 0, unix.EPIPE
	}
	n := min(len(b), s.sendRoom-len(s.out))
	if s.connecting || n <= 0 {
		return 0, proxy.ErrAgain
	}
	s.begin()
	s.out = append(s.out, b[:n]...)
	s.transmit()
	return n, nil
}

// begin notes that something is to be sent, if nothing was.
func (s *Socket) begin() {
	if s.unacked() == 0 {
		s.moved()
	}
}

// moved notes that the wait for the peer begins anew.
func (s *Socket) moved() {
	s.progress, s.tries = s.m.now(), 0
	s.retryAt = s.progress + s.timeout()
}

// closeWriteTCP is inet_shutdown with SHUT_WR.
func (s *Socket) closeWriteTCP() error {
	switch {
	case s.dead:
		return unix.ENOTCONN
	case s.connecting: // tcp_disconnect, which shuts neither direction
		s.err, s.dead, s.connecting = unix.ECONNRESET, true, false
	default:
		s.finish()
	}
	s.wake(0)
	return nil
}

// finish ends our direction.
func (s *Socket) finish() {
	if !s.finOut {
		s.begin()
		s.finOut, s.shutWrite, s.lastAck = true, true, s.finIn
		s.transmit()
	}
}

// closeTCP is tcp_close. A reset goes out at once, and what was not sent never does.
func (s *Socket) closeTCP(reset bool) {
	switch {
	case s.dead:
	case s.connecting:
		s.die()
	case reset:
		s.emit(segment{seq: s.seqOut(), rst: true})
		s.die()
	default:
		s.unlimited = s.unlimited || s.unacked() > 0 // as package socket of the proxy does
		s.shutRead = true
		s.finish()
	}
	s.in = nil
}

// seqOut is snd_nxt.
func (s *Socket) seqOut() int64 {
	if s.finSent {
		return s.sent + 1
	}
	return s.sent
}

// ackIn is rcv_nxt.
func (s *Socket) ackIn() int64 {
	if s.finIn {
		return s.next + 1
	}
	return s.next
}

// fail ends the connection at this end, which learns why.
func (s *Socket) fail(why unix.Errno) {
	s.err = why
	s.die()
}

// die is tcp_done. What has arrived can still be read, and what was not acknowledged
// still counts.
func (s *Socket) die() {
	s.dead, s.connecting = true, false
	s.shutRead, s.shutWrite = true, true
	s.wake(0)
}

// Fail ends a connection with an error of the network, such as EHOSTUNREACH.
func (s *Socket) Fail(why unix.Errno) {
	if !s.dead {
		s.fail(why)
	}
	s.m.Advance()
}

// transmit sends what the peer's window lets go.
func (s *Socket) transmit() {
	for {
		waiting := s.out[s.sent-s.acked:]
		n := min(int64(len(waiting)), s.edge-s.sent)
		if n <= 0 {
			break
		}
		n = min(n, int64(s.Out.segment()))
		s.emit(segment{seq: s.sent, data: waiting[:n]})
		s.sent += n
	}
	if s.finOut && !s.finSent && s.sent == s.endOut() {
		s.finSent = true
		s.emit(segment{seq: s.sent, fin: true})
	}
	s.arm()
}

// emit puts a segment on its way.
func (s *Socket) emit(seg segment) {
	brings := len(seg.data) > 0 || seg.fin
	if brings && s.applyCut(&seg) {
		return
	}
	if s.Out.Lost {
		if brings && (s.lostFrom == never || seg.seq < s.lostFrom) {
			s.lostFrom = seg.seq
		}
		return
	}
	seg.ack, seg.edge, seg.gap, seg.at = s.ackIn(), s.offered, s.gap, s.m.now()
	s.m.schedule(s.Out.arrival(s.m.now(), len(seg.data)), func() { s.peer.arrive(seg) })
}

// arrive is tcp_rcv_state_process.
func (s *Socket) arrive(seg segment) {
	switch {
	case s.dead && s.timeWait:
		if seg.fin || seg.ask {
			s.acknowledge(seg.at)
		}
		return
	case s.dead:
		if !seg.rst {
			s.emit(segment{seq: seg.ack, rst: true})
		}
		return
	case seg.rst && seg.seq > s.ackIn():
		s.acknowledge(0) // RFC 5961: something before it was lost
		return
	case seg.rst:
		s.resetBy()
		return
	}
	s.heard, s.unheard = s.m.now(), 0
	s.takeAck(seg)
	if len(seg.data) > 0 || seg.fin || seg.ask {
		s.take(seg)
	}
}

// resetBy is tcp_reset.
func (s *Socket) resetBy() {
	if s.finIn && !s.shutWrite {
		s.fail(unix.EPIPE) // CLOSE_WAIT
		return
	}
	s.fail(unix.ECONNRESET)
}

// takeAck frees what the peer has acknowledged.
func (s *Socket) takeAck(seg segment) {
	if seg.ack > s.seqOut() {
		return // of what was never sent
	}
	full := !s.writable()
	if n := min(seg.ack, s.endOut()) - s.acked; n > 0 {
		s.out = s.out[n:]
		s.acked += n
		s.advanced(seg)
	}
	if s.finSent && seg.ack > s.endOut() && !s.finAck {
		s.finAck = true
		s.advanced(seg)
	}
	s.gapThere = seg.gap
	s.edge = seg.edge
	s.transmit()
	if full && s.writable() {
		s.wake(proxy.Writable)
	}
	s.over()
}

// advanced notes that the peer has acknowledged something new.
func (s *Socket) advanced(seg segment) {
	if seg.echo != 0 {
		s.rtt = s.m.now() - seg.echo
	}
	s.moved()
}

// over ends a connection both of whose directions have ended.
func (s *Socket) over() {
	if s.finIn && s.finAck && !s.dead {
		s.timeWait = !s.lastAck
		s.die()
	}
}

// take is tcp_data_queue and tcp_fin.
func (s *Socket) take(seg segment) {
	fresh := seg.seq + int64(len(seg.data)) - s.next
	switch {
	case s.finIn: // sent again
	case seg.seq > s.next:
		s.gap = true // Linux would keep it; here it comes once more
	case s.closed && fresh > 0:
		s.emit(segment{seq: seg.ack, rst: true})
		s.die()
		return
	default:
		s.gap = false
		if fresh = min(fresh, s.offered-s.next); fresh > 0 {
			had := s.next - seg.seq
			s.in = append(s.in, seg.data[had:had+fresh]...)
			s.next += fresh
			s.fed = s.m.now()
			s.wake(proxy.Readable)
		}
		if seg.fin && s.next == seg.seq+int64(len(seg.data)) {
			s.finIn, s.shutRead = true, true
			s.wake(0)
		}
	}
	s.acknowledge(seg.at)
	s.over()
}

// acknowledge tells the peer how far its stream has come.
func (s *Socket) acknowledge(echo time.Duration) {
	s.offered = max(s.offered, s.next+s.window())
	s.emit(segment{seq: s.seqOut(), echo: echo})
}

// window is the room for what comes. It is 0 while the room is small, so that the peer
// does not send in small pieces (RFC 9293 3.8.6.2.2).
func (s *Socket) window() int64 {
	free := s.readRoom - len(s.in)
	if free < min(s.readRoom/2, 1460) {
		return 0
	}
	return int64(free)
}

// offer tells the peer of a window that has become twice as wide, as tcp_cleanup_rbuf does.
func (s *Socket) offer() {
	if w := s.window(); !s.dead && !s.finIn && w > 0 && w >= 2*(s.offered-s.next) {
		s.acknowledge(0)
	}
}

// timeout is how long TCP waits before it sends again.
func (s *Socket) timeout() time.Duration {
	return min((200*time.Millisecond+2*s.rtt)<<min(s.tries, 12), s.limit())
}

// limit is how long timeout may become.
func (s *Socket) limit() time.Duration {
	if s.unlimited {
		return retryLimit
	}
	return s.m.RetryLimit
}

// full reports whether the peer's window keeps back what is to be sent.
func (s *Socket) full() bool { return s.unsent() > 0 && s.edge <= s.sent }

// abandoned reports whether TCP gives up what is to be sent for a socket that nobody has.
// It does so when the wait has reached its limit, and after some tries if the peer is not
// known to be full (tcp_write_timeout, tcp_probe_timer, tcp_orphan_retries).
func (s *Socket) abandoned() bool {
	return s.timeout() >= s.limit() || s.tries >= orphanTries && !s.full()
}

// outstanding reports whether the peer has something to acknowledge.
func (s *Socket) outstanding() bool { return !s.dead && s.unacked() > 0 }

// arm sets the timer.
func (s *Socket) arm() {
	if s.armed || !s.outstanding() {
		return
	}
	s.armed = true
	s.retryAt = s.m.now() + s.timeout()
	s.m.schedule(s.retryAt, s.retry)
}

// retry is tcp_retransmit_timer and tcp_probe_timer. It sends again what was lost, and
// asks the peer for a word otherwise. A user timeout takes the place of the limit on
// tries.
func (s *Socket) retry() {
	s.armed = false
	now := s.m.now()
	switch {
	case !s.outstanding():
		return
	case now < s.retryAt:
		s.armed = true
		s.m.schedule(s.retryAt, s.retry)
		return
	case s.m.UserTimeout > 0 && !s.outlasts && now-s.progress >= s.m.UserTimeout:
		s.fail(unix.ETIMEDOUT)
		return
	case s.unheard >= triesInAll && (s.m.UserTimeout == 0 || s.outlasts):
		s.fail(unix.ETIMEDOUT)
		return
	case s.closed && s.abandoned():
		s.die()
		return
	}
	s.tries++
	s.unheard++
	if s.lostFrom == never {
		s.emit(segment{seq: s.seqOut(), ask: true})
	} else {
		s.sent, s.finSent, s.lostFrom = max(s.acked, s.lostFrom), s.finAck, never
		s.transmit()
	}
	s.arm()
}
