package admin

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxConnections is how many connections there are at once. Each takes a
// descriptor that a session could have, so there are no more than some scrapers,
// probes and browsers have use for.
const maxConnections = 32

const (
	// headGrace is how long a connection may be without a request before it may have
	// to give way: a request that is on its way is there by then.
	headGrace = 50 * time.Millisecond
	// answerGrace is how long a client may take nothing of its answer.
	answerGrace = 2 * time.Second
	// spares is how often a connection that would have to give way is spared, for
	// headGrace each time, because bytes have come on it that net/http is about to read.
	spares = 20
)

// connections bounds the connections of a listener. When there are as many as may
// be, a new one takes the place of the one whose client has been waited for longest,
// for a request or for taking the answer: nobody who only holds connections keeps
// others out. One that is being answered stays, and so does one whose request may
// be there any moment: then the new one waits.
type connections struct {
	net.Listener
	limit int

	mu      sync.Mutex
	changed sync.Cond // what follows has changed, or time has passed; its lock is mu
	open    map[*conn]struct{}
	ended   bool
}

func bound(l net.Listener, limit int) *connections {
	cs := &connections{Listener: l, limit: limit, open: make(map[*conn]struct{})}
	cs.changed.L = &cs.mu
	return cs
}

// A conn has one of the places until it is closed.
type conn struct {
	net.Conn
	all *connections

	// Guarded by all.mu.
	due    time.Time // when it may have to give way; zero while it is being answered
	spared int       // how often it was spared, since due was set
}

// Accept returns a connection that has a place.
func (cs *connections) Accept() (net.Conn, error) {
	plain, err := cs.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: plain, all: cs}
	if !cs.takePlace(c) {
		plain.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// takePlace waits for a place, and makes one if it can. It returns false if the
// listener was closed meanwhile.
func (cs *connections) takePlace(c *conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for len(cs.open) >= cs.limit && !cs.ended {
		now := time.Now()
		longest := cs.longest()
		switch {
		case longest == nil:
			cs.changed.Wait()
		case longest.due.After(now):
			cs.wait(longest.due.Sub(now))
		case longest.spared < spares && longest.hasUnread():
			longest.due = now.Add(headGrace)
			longest.spared++
		default:
			cs.mu.Unlock()
			_ = longest.Close() // it is given up either way
			cs.mu.Lock()
		}
	}
	if cs.ended {
		return false
	}
	c.due = time.Now().Add(headGrace)
	cs.open[c] = struct{}{}
	return true
}

// longest returns the connection that is the first to give way, or nil if all are
// being answered. It is called with mu held.
func (cs *connections) longest() (longest *conn) {
	for c := range cs.open {
		if !c.due.IsZero() && (longest == nil || c.due.Before(longest.due)) {
			longest = c
		}
	}
	return longest
}

// wait waits for a change, or for some time. It is called with mu held.
func (cs *connections) wait(limit time.Duration) {
	timer := time.AfterFunc(limit, func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		cs.changed.Broadcast()
	})
	defer timer.Stop()
	cs.changed.Wait()
}

func (cs *connections) Close() error {
	cs.mu.Lock()
	cs.ended = true
	cs.changed.Broadcast()
	cs.mu.Unlock()
	return cs.Listener.Close()
}

type connKey struct{}

// watch has a server say which of its connections are being answered, and which wait
// for their next request. What net/http does in between, it does at the client's pace.
func (cs *connections) watch(server *http.Server) {
	next := server.Handler
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(connKey{}).(*conn)
		c.dueAt(time.Time{})
		defer func() { c.dueAt(time.Now().Add(answerGrace)) }()
		next.ServeHTTP(w, r)
	})
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateIdle {
			c.(*conn).dueAt(time.Now().Add(headGrace))
		}
	}
}

// dueAt sets when a connection may have to give way, and returns what was set before.
func (c *conn) dueAt(due time.Time) (before time.Time) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	before, c.due, c.spared = c.due, due, 0
	c.all.changed.Broadcast()
	return before
}

// Write counts the time in which the client takes nothing.
func (c *conn) Write(b []byte) (int, error) {
	before := c.dueAt(time.Now().Add(answerGrace))
	defer c.dueAt(before)
	return c.Conn.Write(b)
}

// CloseWrite is called by net/http when all is said and the client still sends. It waits
// a moment before it closes the connection then, which may be closed earlier.
func (c *conn) CloseWrite() error {
	c.all.mu.Lock()
	c.due, c.spared = time.Now(), spares
	c.all.changed.Broadcast()
	c.all.mu.Unlock()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	delete(c.all.open, c)
	c.all.changed.Broadcast()
	return err
}
