package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// pattern returns the payload of messages. It is printable. If it is shifted by the size of
// a frame header, no byte is the same.
func pattern(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = 'a' + byte(i%23)
	}
	return p
}

// silent is embedded in a role that expects no data and does nothing at the end.
type silent struct{}

func (silent) opened(*session) error { return nil }
func (silent) closed(*session)       {}
func (silent) data(*session, *frameHeader, []byte, uint64) error {
	return errors.New("an unexpected message")
}

// checkPart compares a part of a message with the expected message.
func checkPart(h *frameHeader, part []byte, offset uint64, opcode byte, want []byte) error {
	if h.opcode != opcode || h.length != uint64(len(want)) {
		return fmt.Errorf("message has opcode %d and %d bytes, want %d and %d", h.opcode, h.length, opcode, len(want))
	}
	if !bytes.Equal(part, want[offset:offset+uint64(len(part))]) {
		return errors.New("message has another content than was sent")
	}
	return nil
}

// ends reports whether a part is the last of its message.
func ends(h *frameHeader, part []byte, offset uint64) bool {
	return offset+uint64(len(part)) == h.length
}

// echoes are the sessions of an echo load and their measurements.
type echoes struct {
	opcode         byte
	payload, frame []byte
	sessions       []*echo
	again          bool // each answer is followed by the next message
	waiting        int  // sessions whose answer has not come
	latencies      []time.Duration
}

// An echo is one session that has at most one message under way.
type echo struct {
	silent
	all     *echoes
	session *session
	waiting bool
	sent    time.Time
}

// openEchoes opens n sessions for binary messages of size bytes.
func openEchoes(c *client, n, size int) (*echoes, error) { return openEchoesOf(c, opBinary, n, size) }

// openEchoesOf opens n sessions for messages of an opcode and of size bytes.
func openEchoesOf(c *client, opcode byte, n, size int) (*echoes, error) {
	payload := pattern(size)
	all := &echoes{
		opcode:    opcode,
		payload:   payload,
		frame:     appendFrame(nil, opcode, &loadMask, payload),
		latencies: make([]time.Duration, 0, 1<<18),
	}
	return all, c.openSessions(n, pathEcho, func() role { return &echo{all: all} })
}

// start sends the first message of every session. Each session then sends the next one
// when the answer has arrived.
func (all *echoes) start() error {
	all.again = true
	for _, e := range all.sessions {
		if err := e.send(); err != nil {
			return err
		}
	}
	return nil
}

// stop waits for the answers that have not arrived yet.
func (all *echoes) stop(c *client) error {
	all.again = false
	return c.runUntil(answerLimit, func() bool { return all.waiting == 0 })
}

// close ends all sessions.
func (all *echoes) close(c *client) error {
	sessions := make([]*session, len(all.sessions))
	for i, e := range all.sessions {
		sessions[i] = e.session
	}
	return c.closeSessions(sessions)
}

func (e *echo) opened(s *session) error {
	e.session = s
	e.all.sessions = append(e.all.sessions, e)
	return nil
}

func (e *echo) send() error {
	e.waiting = true
	e.all.waiting++
	e.sent = time.Now()
	return e.session.send(e.all.frame)
}

func (e *echo) data(_ *session, h *frameHeader, part []byte, offset uint64) error {
	if !e.waiting {
		return errors.New("an answer without a question")
	}
	if err := checkPart(h, part, offset, e.all.opcode, e.all.payload); err != nil {
		return err
	}
	if !ends(h, part, offset) {
		return nil
	}
	e.waiting = false
	e.all.waiting--
	e.all.latencies = append(e.all.latencies, time.Since(e.sent))
	if e.all.again {
		return e.send()
	}
	return nil
}

// A fanOut counts the messages that idle sessions receive.
type fanOut struct {
	round    int // fan-outs started so far
	received int // messages of this round
}

// An idle session does nothing, and takes part in fan-outs.
type idle struct {
	silent
	fan  *fanOut
	seen int // fan-outs that have reached it
}

func (i *idle) data(_ *session, h *frameHeader, part []byte, offset uint64) error {
	if i.seen == i.fan.round {
		return errors.New("an unexpected message")
	}
	if err := checkPart(h, part, offset, opText, fanOutMessage); err != nil {
		return err
	}
	if ends(h, part, offset) {
		i.seen++
		i.fan.received++
	}
	return nil
}

// A kept session is added to a list of its scenario.
type kept struct {
	silent
	in *[]*session
}

func (k kept) opened(s *session) error {
	*k.in = append(*k.in, s)
	return nil
}

// A visit is a session that closes as soon as it is open.
type visit struct {
	silent
	done func()
}

func (v visit) opened(s *session) error { return s.close() }
func (v visit) closed(*session)         { v.done() }
