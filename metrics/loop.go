package metrics

import (
	"sync/atomic"
	"time"
)

// cacheLine is the distance in bytes at which two counters never share a cache line:
// arm64 has lines of up to 128 bytes, and amd64 fetches its lines of 64 in pairs.
const cacheLine = 128

type pad [cacheLine]byte

// A Loop is one event loop's set of counts. Every method may be called from any
// goroutine, but is cheap only while the event loop is nearly the only writer. No method
// allocates except RoundTrip, whose histogram grows native buckets.
//
// side must be Client or Upstream unless a method says otherwise.
type Loop struct {
	_ pad // other writers own the memory before this Loop

	// static after construction
	durations *histograms

	// written by the loop, read by scrapes
	legs       [legs]leg
	opened     atomic.Uint64
	dropped    [sides][reasons]atomic.Uint64
	handshakes [results]atomic.Uint64

	_ pad
}

// leg is what is counted for each side that has a leg.
type leg struct {
	// on the path of a frame
	received atomic.Uint64
	sent     atomic.Uint64
	frames   [opcodeSpace]atomic.Uint64 // reserved opcodes have an element, but no series

	buffered atomic.Int64
	paused   atomic.Int64

	throttled atomic.Uint64

	pingsSent     atomic.Uint64
	pongsReceived atomic.Uint64
	pingsAnswered atomic.Uint64

	appPingsSent     atomic.Uint64
	appPongsReceived atomic.Uint64
	appPingsAnswered atomic.Uint64

	closeFrames [closeCodes]atomic.Uint64
	closed      atomic.Uint64
}

// Opened counts a session that begins: its whole 101 has been written. Exactly one call of
// Closed or Dropped must follow for each session.
func (l *Loop) Opened() { l.opened.Add(1) }

// Closed counts a session that ended by a completed close handshake, which the
// peer on that side began.
func (l *Loop) Closed(side Side) { l.legs[side].closed.Add(1) }

// Dropped counts a session that ended in any other way. side may be Proxy. A pair that is
// not legal is a bug of the proxy and counts as Proxy, Internal: opened and ended
// sessions must add up.
func (l *Loop) Dropped(side Side, reason Reason) {
	if !LegalDrop(side, reason) {
		side, reason = Proxy, Internal
	}
	l.dropped[side][reason].Add(1)
}

// SessionDuration observes how long a session lasted. It is called at the session's end.
func (l *Loop) SessionDuration(d time.Duration) { observe(l.durations.session, d) }

// Handshake counts a handshake that ended.
func (l *Loop) Handshake(result Result) { l.handshakes[result].Add(1) }

// HandshakeDuration observes how long one stage of a handshake took.
func (l *Loop) HandshakeDuration(stage Stage, d time.Duration) {
	observe(l.durations.handshake[stage], d)
}

// CloseReceived counts a Close frame that the peer on that side sent. A negative
// code means that the frame held none.
func (l *Loop) CloseReceived(side Side, code int) {
	l.legs[side].closeFrames[bucket(code)].Add(1)
}

// PingSent counts a ping of our own to that side.
func (l *Loop) PingSent(side Side) { l.legs[side].pingsSent.Add(1) }

// PingLag observes how late one of our pings was sent: the time from due to sent.
func (l *Loop) PingLag(d time.Duration) { observe(l.durations.lag, d) }

// PongReceived counts a pong that answered one of our pings.
func (l *Loop) PongReceived(side Side) { l.legs[side].pongsReceived.Add(1) }

// RoundTrip observes the time from the sending of a ping to the arrival of its pong.
func (l *Loop) RoundTrip(side Side, rtt time.Duration) { observe(l.durations.rtt[side], rtt) }

// PingAnswered counts a ping of the peer on that side that we answered ourselves.
func (l *Loop) PingAnswered(side Side) { l.legs[side].pingsAnswered.Add(1) }

// AppPingSent counts a ping of the application that was sent to that side.
func (l *Loop) AppPingSent(side Side) { l.legs[side].appPingsSent.Add(1) }

// AppPongReceived counts an answer to such a ping.
func (l *Loop) AppPongReceived(side Side) { l.legs[side].appPongsReceived.Add(1) }

// AppRoundTrip observes the time from the sending of such a ping to the arrival of its
// answer.
func (l *Loop) AppRoundTrip(side Side, rtt time.Duration) { observe(l.durations.appRTT[side], rtt) }

// AppPingsAnswered counts n messages of the peer on that side that we answered ourselves.
func (l *Loop) AppPingsAnswered(side Side, n uint64) { l.legs[side].appPingsAnswered.Add(n) }

// Frames counts n frames that the peer on that side sent. Only the low four bits of
// opcode matter. Reserved opcodes have no series: they are a protocol error, which
// Dropped counts.
func (l *Loop) Frames(side Side, opcode uint8, n uint64) {
	l.legs[side].frames[opcode%opcodeSpace].Add(n)
}

// Received counts n ≥ 0 bytes read from that side.
func (l *Loop) Received(side Side, n int) { l.legs[side].received.Add(uint64(n)) }

// Sent counts n ≥ 0 bytes written to that side.
func (l *Loop) Sent(side Side, n int) { l.legs[side].sent.Add(uint64(n)) }

// Buffered changes the number of bytes that wait to be written to that side.
func (l *Loop) Buffered(side Side, delta int) { l.legs[side].buffered.Add(int64(delta)) }

// Paused changes the number of legs on that side from which reading is stopped.
func (l *Loop) Paused(side Side, delta int) { l.legs[side].paused.Add(int64(delta)) }

// ReadThrottled counts a pause in which a leg on that side is not read because its peer has
// sent faster than it may.
func (l *Loop) ReadThrottled(side Side) { l.legs[side].throttled.Add(1) }

// A Balance is what must agree with the sessions of a loop at every moment.
type Balance struct {
	Open     int64       // sessions that were opened and have not ended
	Buffered [legs]int64 // bytes that wait to be written, by side
	Paused   [legs]int64 // legs from which reading is stopped, by side
}

// Balance returns the loop's balance.
func (l *Loop) Balance() (b Balance) {
	b.Open = int64(l.opened.Load()) - l.ended()
	for side := range l.legs {
		g := &l.legs[side]
		b.Buffered[side], b.Paused[side] = g.buffered.Load(), g.paused.Load()
	}
	return b
}

// ended returns how many sessions have ended.
func (l *Loop) ended() (n int64) {
	for side := range l.legs {
		n += int64(l.legs[side].closed.Load())
	}
	for side := range l.dropped {
		for reason := range l.dropped[side] {
			n += int64(l.dropped[side][reason].Load())
		}
	}
	return n
}

// Active returns how many sessions were opened and have not ended. Unlike Balance, any
// goroutine may call it. A session that ends meanwhile counts as active: see
// scrape.sessions.
func (l *Loop) Active() int {
	ended := l.ended()
	return int(int64(l.opened.Load()) - ended)
}
