package proxy

import "holdfast/heartbeat"

// A tail holds the bytes that a leg's socket did not take, in order. While a leg has a
// tail, the other leg is not read. So a tail holds at most one read and the few control
// frames that were due inside it, and a session's memory is bounded whatever its peers
// do.
type tail struct {
	from, to int            // buf[from:to] is still to be written
	wait     heartbeat.Wait // until the socket takes some of it
	by       heartbeat.Time // deadline of that wait

	// A ping of ours may be in the tail. It is sent when from reaches pingEnd.
	pingEnd int    // 0 if there is no ping
	ping    uint64 // its payload
	appEnd  int    // the same for a ping of the application; 0 if there is none

	buf [tailSize]byte
}

const (
	// tailSize is a little under 64 KiB, so that a whole tail fits a size class.
	tailSize = 64<<10 - 64
	// readSize is the most that one read of a leg takes. Together with the bytes held
	// back before it, a pong, a ping and a Close it fits a tail. See extraRoom for a session
	// with extras.
	readSize = 63 << 10
)

func (t *tail) append(b []byte) {
	if len(b) > len(t.buf)-t.to {
		panic("proxy: more for a tail than one read and its control frames")
	}
	t.to += copy(t.buf[t.to:], b)
}

func (t *tail) bytes() []byte { return t.buf[t.from:t.to] }

// tailPool keeps a few tails, so that a leg that blocks now and then makes no garbage.
type tailPool struct{ free []*tail }

const tailsKept = 32

func (p *tailPool) get() *tail {
	n := len(p.free)
	if n == 0 {
		return new(tail)
	}
	t := p.free[n-1]
	p.free[n-1] = nil
	p.free = p.free[:n-1]
	t.from, t.to, t.pingEnd, t.appEnd = 0, 0, 0, 0
	return t
}

func (p *tailPool) put(t *tail) {
	if len(p.free) < tailsKept {
		p.free = append(p.free, t)
	}
}
