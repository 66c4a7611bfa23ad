package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A crowd is many clients that say nothing. When the session of a client ends, the client
// connects again at once, and tries without a pause until it has a second session.
type crowd struct {
	loop    *loop
	next    netip.AddrPort // where clients connect again
	dialing int            // first handshakes under way
	open    int            // first sessions that were opened
	err     error          // why a first session could not be opened
	told    map[int]int    // first sessions by the code of the Close that ended them, or noCode
	cut     int            // first sessions that ended, and no Close had come
	ends    []time.Time    // of the first sessions
	asked   []time.Time    // every attempt to connect again
	waiting int            // attempts that failed, and are made again in the next turn
	back    int            // clients with a second session
}

// noCode stands for the code of a Close that has none (RFC 6455 section 7.1.5).
const noCode = 1005

// openCrowd opens n sessions.
func openCrowd(at netip.AddrPort, n int) (*crowd, error) {
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	c := &crowd{loop: l, told: map[int]int{}}
	for deadline := time.Now().Add(openLimit); c.open < n; {
		for c.open+c.dialing < n && c.dialing < dialWindow {
			if err := c.dial(at, &member{crowd: c}); err != nil {
				return c, err
			}
			c.dialing++
		}
		if err := errors.Join(l.turn(10*time.Millisecond), c.err); err != nil {
			return c, err
		}
		if time.Now().After(deadline) {
			return c, fmt.Errorf("opening %d sessions: %w", n, errLate)
		}
	}
	return c, nil
}

func (c *crowd) dial(to netip.AddrPort, m *member) error {
	_, err := c.loop.dial(to, upgradeRequest(to.String(), pathIdle), m)
	return err
}

// turn serves one batch of events, and connects those again whose attempt has failed.
func (c *crowd) turn() error {
	failed := c.waiting
	c.waiting = 0
	for range failed {
		c.returns()
	}
	return c.loop.turn(10 * time.Millisecond)
}

// returns lets a client connect again.
func (c *crowd) returns() {
	c.asked = append(c.asked, time.Now())
	if err := c.dial(c.next, &member{crowd: c, again: true}); err != nil {
		c.waiting++
	}
}

// close ends all connections.
func (c *crowd) close() {
	for _, conn := range c.loop.conns {
		if conn != nil {
			conn.close()
		}
	}
	c.loop.close()
}

// A member is one connection of a client of a crowd.
type member struct {
	crowd   *crowd
	again   bool // it is not the client's first
	open    bool
	told    bool   // a Close has come
	head    []byte // the answer to the upgrade so far
	frames  frameReader
	control []byte // the payload so far of a control frame that comes in parts
	conn    *conn
}

func (m *member) received(c *conn, p []byte) error {
	m.conn = c
	if m.open {
		return m.frames.feed(p, m)
	}
	m.head = append(m.head, p...)
	head, rest, ok := cutHead(m.head)
	if !ok {
		return nil
	}
	if err := checkUpgraded(head); err != nil {
		return err
	}
	m.head, m.open = nil, true
	if m.again {
		m.crowd.back++
	} else {
		m.crowd.dialing--
		m.crowd.open++
	}
	return m.frames.feed(rest, m)
}

func (m *member) drained(*conn) error { return nil }

func (m *member) frame(h *frameHeader, part []byte, offset uint64) error {
	if !h.isControl() || h.masked || m.told {
		return fmt.Errorf("an unexpected frame with opcode %d", h.opcode)
	}
	m.control = append(m.control, part...)
	if uint64(len(m.control)) < h.length {
		return nil
	}
	payload := m.control
	m.control = nil
	switch h.opcode {
	case opPing:
		return m.conn.write(appendFrame(nil, opPong, &loadMask, payload))
	case opClose:
		return m.closed(payload)
	}
	return nil
}

// closed answers a Close. The client connects again before the old connection has ended.
func (m *member) closed(payload []byte) error {
	m.told = true
	if !m.again {
		code := noCode
		if len(payload) >= 2 {
			code = int(binary.BigEndian.Uint16(payload))
		}
		m.crowd.told[code]++
		m.leaves()
	}
	return m.conn.write(appendFrame(nil, opClose, &loadMask, payload))
}

// leaves notes the end of a client's first session.
func (m *member) leaves() {
	m.crowd.ends = append(m.crowd.ends, time.Now())
	m.crowd.returns()
}

func (m *member) ended(_ *conn, err error) {
	c := m.crowd
	switch {
	case m.again && m.open:
		c.back--
	case m.again:
		c.waiting++
	case !m.open:
		c.dialing--
		c.err = fmt.Errorf("a session could not be opened: %w", err)
	case !m.told:
		c.cut++
		m.leaves()
	}
}
