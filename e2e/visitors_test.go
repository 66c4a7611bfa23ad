//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
)

// visitors are the clients of one proxy, in the process of the test. Some stay: a client that
// stays opens the next session when its session has ended. Others only look: they open a
// session and leave.
type visitors struct {
	t      *testing.T
	proxy  *holdfast
	visits sync.WaitGroup // goroutines

	mu      sync.Mutex
	all     []*visit
	leaving bool // nobody opens another session
}

// A visit is one request for a session, and what became of it.
type visit struct {
	id    string // the path that is asked for, without the slash
	stays bool

	// Guarded by the mu of the visitors.
	conn   net.Conn
	status int       // of the answer; 0 if none has come
	failed error     // why no answer has come
	ended  bool      // after it was open
	over   time.Time // when it has ended
	code   int       // of the Close that has ended it; 0 if none came
	reason string    // of that Close
	left   bool      // the client has begun the Close
	heard  string    // the last message
}

// A state is what a visit may have come to.
type state func(*visit) bool

func pending(v *visit) bool { return v.status == 0 && v.failed == nil }
func opened(v *visit) bool  { return v.status == http.StatusSwitchingProtocols }
func open(v *visit) bool    { return opened(v) && !v.ended }
func staying(v *visit) bool { return open(v) && v.stays }
func refused(v *visit) bool { return !pending(v) && !opened(v) }

// hopeless reports whether the visit was refused, and not because the upstream that was
// asked has failed.
func hopeless(v *visit) bool {
	return refused(v) && v.status != http.StatusBadGateway && v.status != http.StatusGatewayTimeout
}

// dropped reports whether the session was ended, and neither by its client nor for it.
func dropped(v *visit) bool { return v.ended && !v.left && v.reason != leave }

// those returns the visits that are in the state.
func (c *visitors) those(are state) (those []*visit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.all {
		if are(v) {
			those = append(those, v)
		}
	}
	return those
}

// are reports whether that number of visits is in the state.
func (c *visitors) are(number int, in state) bool { return len(c.those(in)) == number }

// noneIs reports whether none of the visits is in the state.
func (c *visitors) noneIs(in state, visits []*visit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(visits, in)
}

// until waits for something that comes only while no client gives up.
func (c *visitors) until(what string, isSo func() bool) {
	c.t.Helper()
	c.proxy.Until(what, func() bool {
		if gone := c.those(hopeless); len(gone) > 0 {
			c.t.Fatalf("visit %s is refused with %d (%v), before %s", gone[0].id, gone[0].status, gone[0].failed, what)
		}
		return isSo()
	})
}

// come brings clients that stay, one after another in each of some rows, and waits until
// all their sessions are open.
func (c *visitors) come(number, rows int) {
	c.t.Helper()
	already := len(c.those(staying))
	var coming sync.WaitGroup
	for row := range rows {
		coming.Add(1)
		go func() {
			defer coming.Done()
			for i := row; i < number; i += rows {
				answered := make(chan struct{})
				c.visits.Add(1)
				go c.stay(answered)
				<-answered
			}
		}()
	}
	coming.Wait()
	c.until(fmt.Sprintf("%d more sessions are open", number), func() bool { return c.are(already+number, staying) })
}

// stay opens one session after another, until the visitors leave or a visit is hopeless. It
// closes answered when the first request has its answer.
func (c *visitors) stay(answered chan struct{}) {
	defer c.visits.Done()
	once := sync.OnceFunc(func() { close(answered) })
	defer once()
	for v := c.begin(true); v != nil; v = c.begin(true) {
		from := c.ask(v)
		once()
		switch {
		case from != nil:
			c.read(v, from)
		case hopeless(v): // nobody else writes to v
			return
		}
	}
}

// comesAndGoes brings clients that only look, at a rate, until stop is closed.
func (c *visitors) comesAndGoes(rate int, stop <-chan struct{}) {
	defer c.visits.Done()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			c.visits.Add(1)
			go c.look()
		}
	}
}

// look opens a session and lets the service end it.
func (c *visitors) look() {
	defer c.visits.Done()
	v := c.begin(false)
	if v == nil {
		return
	}
	if from := c.ask(v); from != nil {
		c.write(v, wire.Text(leave))
		c.read(v, from)
	}
}

// begin makes a visit; nil if the visitors leave.
func (c *visitors) begin(stays bool) *visit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return nil
	}
	v := &visit{id: fmt.Sprintf("v%d", len(c.all)+1), stays: stays}
	c.all = append(c.all, v)
	return v
}

// ask makes the opening handshake of a visit. It returns nil if no session is open.
func (c *visitors) ask(v *visit) *bufio.Reader {
	conn, err := net.Dial("tcp", c.proxy.address())
	if err != nil {
		c.note(func() { v.failed = err })
		return nil
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience)) // it fails only on a connection that is closed
	from := bufio.NewReader(conn)
	answer, err := upgrade(conn, from, "/"+v.id)
	_ = conn.SetReadDeadline(time.Time{})
	switch {
	case err != nil:
		c.note(func() { v.failed = err })
	case answer.StatusCode == http.StatusSwitchingProtocols:
		c.note(func() { v.conn, v.status = conn, answer.StatusCode })
		return from
	default:
		c.note(func() { v.status = answer.StatusCode })
	}
	conn.Close()
	return nil
}

// upgrade asks for a session at the path.
func upgrade(conn io.Writer, from *bufio.Reader, path string) (*http.Response, error) {
	if _, err := io.WriteString(conn, wire.Head("GET "+path+" HTTP/1.1", "Host: service.example", "Connection: Upgrade",
		"Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+wire.Key)); err != nil {
		return nil, err
	}
	return http.ReadResponse(from, nil)
}

func (c *visitors) note(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
}

// write sends a frame. If that fails, the read that follows fails too.
func (c *visitors) write(v *visit, f wire.Frame) {
	c.mu.Lock()
	conn := v.conn
	c.mu.Unlock()
	_, _ = conn.Write(wire.Encode(true, f)) // one call of Write is not mixed with another
}

// read answers what the session brings, until it ends.
func (c *visitors) read(v *visit, from io.Reader) {
	defer v.conn.Close()
	for {
		f, err := wire.Read(from, false)
		switch {
		case err != nil:
			c.note(func() { v.ended, v.over = true, time.Now() })
			return
		case f.Op == ws.OpPing:
			c.write(v, wire.Pong(f.Payload))
		case f.Op == ws.OpClose:
			var answers bool
			c.note(func() { v.ended, v.over, v.code, v.reason, answers = true, time.Now(), f.Code(), f.Reason(), !v.left })
			if answers {
				c.write(v, f)
			}
			return
		default:
			c.note(func() { v.heard = f.Payload })
		}
	}
}

// echoes wants each session that stays to carry a message both ways, or to have ended.
func (c *visitors) echoes(message string) {
	c.t.Helper()
	asked := c.those(staying)
	for _, v := range asked {
		c.write(v, wire.Text(message))
	}
	c.until(fmt.Sprintf("the echo of %q in %d sessions", message, len(asked)), func() bool {
		return c.noneIs(func(v *visit) bool { return !v.ended && v.heard != message }, asked)
	})
}

// leave ends all sessions by Closes of the clients, and waits until they have ended.
func (c *visitors) leave() {
	c.note(func() { c.leaving = true })
	for _, v := range c.those(open) {
		c.note(func() { v.left = true })
		c.write(v, wire.Close(1000, "bye"))
	}
	c.visits.Wait()
}
