package web

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A fault says who let a request stall.
type fault int32

const (
	nobody      fault = iota // it has not stalled
	ofUpstream               // the upstream took nothing, or sent nothing
	ofUploader               // the client stopped sending the request's body
	ofRecipient              // the client took nothing of the answer
)

// A progress ends a request on which nothing moves, in either direction, for limit.
type progress struct {
	limit time.Duration
	end   func()       // is called once at most, and not after stop; it sets fault
	fault atomic.Int32 // nobody until the request has stalled

	mu sync.Mutex

	// Guarded by mu.
	timer *time.Timer // nil before start
	moved time.Time
	over  bool // stop or end has been called
}

var errStalled = errors.New("nothing moved for HOLDFAST_HTTP_TIMEOUT")

// start begins to watch.
func (p *progress) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = time.Now()
	if !p.over {
		p.timer = time.AfterFunc(p.limit, p.look)
	}
}

// move notes that n bytes moved.
func (p *progress) move(n int) {
	if n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = time.Now()
}

// goesOn notes that something is about to move. It returns false if the request has been
// ended. Otherwise the request does not end before there was time for the move.
func (p *progress) goesOn() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = time.Now()
	return !p.over
}

// look ends the request, or comes back when the request may have to be ended.
func (p *progress) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.limit - time.Since(p.moved)
	switch {
	case p.over:
	case left > 0:
		p.timer.Reset(left)
	default:
		p.over = true
		p.end()
	}
}

// stalledBy says who let the request stall.
func (p *progress) stalledBy() fault { return fault(p.fault.Load()) }

// stop ends the watch.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// moving is a connection whose bytes are a request's progress.
type moving struct {
	net.Conn
	progress *progress
}

func (c moving) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.progress.move(n)
	return n, err
}

func (c moving) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.progress.move(n)
	return n, err
}
