package admin

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConnections is how many connections there are at once. Each takes a
// descriptor that a session could have, so there are no more than some scrapers,
// probes and browsers have use for.
const maxConnections = 32

// connections bounds the connections of a listener. When there are as many as may
// be, a new one takes the place of the one that has waited longest for a request:
// nobody who only holds connections keeps others out. While each has a request
// under way, the new one waits for the first that has not.
type connections struct {
	net.Listener
	limit int

	mu      sync.Mutex
	changed sync.Cond // what follows has changed; its lock is mu
	open    int
	waiting []*conn // for a request; who has waited longest comes first
	ended   bool
}

func bound(l net.Listener, limit int) *connections {
	cs := &connections{Listener: l, limit: limit}
	cs.changed.L = &cs.mu
	return cs
}

// Accept returns a connection that has a place.
func (cs *connections) Accept() (net.Conn, error) {
	plain, err := cs.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !cs.takePlace() {
		plain.Close()
		return nil, net.ErrClosed
	}
	return &conn{Conn: plain, all: cs}, nil
}

// takePlace waits for a place, and makes one if it can. It returns false if the
// listener was closed meanwhile.
func (cs *connections) takePlace() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for cs.open >= cs.limit && !cs.ended {
		if len(cs.waiting) == 0 {
			cs.changed.Wait()
			continue
		}
		longest := cs.waiting[0]
		cs.mu.Unlock()
		_ = longest.Close() // it is given up either way
		cs.mu.Lock()
	}
	if cs.ended {
		return false
	}
	cs.open++
	return true
}

func (cs *connections) Close() error {
	cs.mu.Lock()
	cs.ended = true
	cs.changed.Broadcast()
	cs.mu.Unlock()
	return cs.Listener.Close()
}

// note is http.Server's ConnState. A connection waits for a request from the
// beginning, until the head of one is whole, and again after the answer.
func (cs *connections) note(c net.Conn, state http.ConnState) {
	ours := c.(*conn)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.forget(ours)
	if (state == http.StateNew || state == http.StateIdle) && !ours.closed {
		cs.waiting = append(cs.waiting, ours)
		cs.changed.Broadcast()
	}
}

// forget is called with mu held.
func (cs *connections) forget(c *conn) {
	cs.waiting = slices.DeleteFunc(cs.waiting, func(other *conn) bool { return other == c })
}

// A conn has one of the places until it is closed.
type conn struct {
	net.Conn
	all    *connections
	closed bool // guarded by all.mu
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.all.open--
		c.all.forget(c)
		c.all.changed.Broadcast()
	}
	return err
}
