package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// maxConnections is how many connections may be open at once, unless Config.Connections
// says otherwise. Each takes a descriptor that a session could use. The limit is enough for
// some scrapers, probes and browsers.
const maxConnections = 32

const (
	// headGrace is how long a connection without a request is safe from being replaced.
	// A request that the client has sent arrives within that time.
	headGrace = 50 * time.Millisecond
	// answerGrace is how long a connection is safe from being replaced while its client
	// takes nothing of the answer.
	answerGrace = 2 * time.Second
	// spares is how often a connection is spared when it would be replaced, for headGrace
	// each time, because bytes have arrived that net/http is about to read.
	spares = 20
)

// connections limits the open connections of a listener. At the limit, a new connection
// replaces an open one: the one for whose client the server has waited longest, either
// for a request or for the client to take the answer. So a client that only holds
// connections does not keep others out. A connection is not replaced while its request is
// being handled, or before its grace is over. If no connection can be replaced, the new
// one waits.
type connections struct {
	net.Listener
	limit int

	mu      sync.Mutex
	changed sync.Cond          // signals a change of the fields below or of a conn, or that time has passed; uses mu
	open    map[*conn]struct{} // at most limit
	ended   bool               // the listener was closed
}

func bound(l net.Listener, limit int) *connections {
	cs := &connections{Listener: l, limit: limit, open: make(map[*conn]struct{})}
	cs.changed.L = &cs.mu
	return cs
}

// A conn is a connection that counts for the limit until it is closed.
type conn struct {
	net.Conn
	all *connections

	// Guarded by all.mu.
	due    time.Time // from when on it may be replaced; zero while its request is being handled
	spared int       // how often it was spared since due was set
}

// Accept returns the next connection, once it is within the limit.
func (cs *connections) Accept() (net.Conn, error) {
	plain, err := cs.Listener.Accept()
	if err != nil {
		return nil, passing(err)
	}
	c := &conn{Conn: plain, all: cs}
	if !cs.takePlace(c) {
		plain.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// passing makes net/http accept again after a pause, as it does of itself only for a lack
// of descriptors. Any other error of an accept would end the admin listener for good: a
// lack of memory, or an error of one connection that Linux reports there (accept(2)). The
// error of a listener that is closed or broken stays as it is.
func passing(err error) error {
	for _, lasting := range []error{net.ErrClosed, syscall.EBADF, syscall.EFAULT, syscall.EINVAL, syscall.ENOTSOCK} {
		if errors.Is(err, lasting) {
			return err
		}
	}
	return passingError{err}
}

// A passingError is temporary as net/http asks for it.
type passingError struct{ error }

func (passingError) Timeout() bool   { return false }
func (passingError) Temporary() bool { return true }

// takePlace waits until fewer than limit connections are open, and closes one of them if
// it may. Then it adds c. It returns false if the listener was closed meanwhile.
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
			_ = longest.Close() // a failed close removes it from open, too
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

// longest returns the connection to be replaced first. It returns nil if the requests of
// all are being handled. It is called with mu held.
func (cs *connections) longest() (longest *conn) {
	for c := range cs.open {
		if !c.due.IsZero() && (longest == nil || c.due.Before(longest.due)) {
			longest = c
		}
	}
	return longest
}

// wait waits for a change, but no longer than limit. It is called with mu held.
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

// watch installs hooks in server that set due: to zero while a request is being handled,
// and to now plus a grace whenever the server waits for the client.
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

// dueAt sets from when on c may be replaced, and returns what was set before.
func (c *conn) dueAt(due time.Time) (before time.Time) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	before, c.due, c.spared = c.due, due, 0
	c.all.changed.Broadcast()
	return before
}

// Write writes to the client. During the write c may be replaced after answerGrace.
func (c *conn) Write(b []byte) (int, error) {
	before := c.dueAt(time.Now().Add(answerGrace))
	defer c.dueAt(before)
	return c.Conn.Write(b)
}

// CloseWrite is called by net/http when the answer is complete and the client still sends.
// net/http then waits a moment before it closes the connection. c may be replaced earlier.
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

// givesWay lets the connection of a request be replaced from now on, although the request
// is still being handled, until the next write. It stands behind the connections whose
// clients were waited for before.
func givesWay(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.dueAt(time.Now())
	}
}
