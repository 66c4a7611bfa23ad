package main

import (
	"bytes"
	"errors"
	"fmt"
)

// Scenarios of the memory that connections of other kinds than idle sessions hold. Each
// scenario has its own proxy, whose memory grows by connections of one kind.
var (
	pageScenario = scenario{
		name:    "page",
		about:   "connections on which a page has been asked for, and nothing follows",
		once:    true,
		figures: heldFigures(heldPages),
		run:     runHeld(heldPages),
	}
	handshakeScenario = scenario{
		name:    "handshake",
		about:   "handshakes that the backend does not answer",
		once:    true,
		figures: heldFigures(heldHandshakes, heldLargest),
		run:     runHeld(heldHandshakes, heldLargest),
	}
	blockedScenario = scenario{
		name:    "blocked",
		about:   "sessions whose peers both send and do not read",
		once:    true,
		figures: heldFigures(heldBlocked),
		run:     runHeld(heldBlocked),
	}
)

// A holding is one kind of connection.
type holding struct {
	key, title string
	own        bool // only Holdfast is measured
	open       func(c *client, n int) error
}

var (
	heldPages      = holding{"page", "memory per idle connection of a client that asked for a page", false, openPages}
	heldHandshakes = holding{"handshake", "memory per handshake that waits for the backend's answer", false, openHandshakes}
	heldLargest    = holding{
		key:   "largest",
		title: fmt.Sprintf("the same, with a head of %s and %s behind it", sizeName(largestHead), sizeName(behindHead)),
		own:   true,
		open:  openLargest,
	}
	heldBlocked = holding{"blocked", "memory per session whose peers both send and do not read", false, openBlocked}
)

const (
	// largestHead is the size from which on no field is added to a head. One more field of
	// 1,000 bytes would make it larger than 32 KiB, the default of HOLDFAST_MAX_HEADER_SIZE.
	largestHead = 31 << 10
	behindHead  = 128 << 10
	// blockedSegment is the largest segment of connections that are not read. With small
	// segments the kernel buffers less for them, which takes this machine's memory.
	blockedSegment = 1400
)

func heldFigures(kinds ...holding) func(params) []figure {
	return func(p params) []figure {
		var figures []figure
		for _, h := range kinds {
			figures = append(figures, figure{Key: h.key, Title: h.title, Unit: "B", NoRatio: h.own})
		}
		return figures
	}
}

func runHeld(kinds ...holding) func(*client, params) (map[string]float64, error) {
	return func(c *client, p params) (map[string]float64, error) {
		if !c.meter.present() {
			return nil, nil
		}
		values := make(map[string]float64)
		for _, h := range kinds {
			if h.own && c.metrics == "" {
				continue
			}
			value, err := h.measure(c, p)
			if err != nil {
				return nil, err
			}
			values[h.key] = value
		}
		return values, nil
	}
}

// measure returns by how much the proxy's memory grows for each connection. It first opens
// as many idle sessions, so that memory that a proxy takes once does not count. It waits
// before each of the two readings, so that the proxy can free what it used for opening.
func (h holding) measure(c *client, p params) (float64, error) {
	if err := errors.Join(openIdle(c, p.Held, &fanOut{}), c.runFor(p.Hold)); err != nil {
		return 0, err
	}
	before, err := c.meter.memory()
	if err != nil {
		return 0, err
	}
	if err := errors.Join(h.open(c, p.Held), c.runFor(p.Hold), c.failure()); err != nil {
		return 0, err
	}
	after, err := c.meter.memory()
	return (float64(after) - float64(before)) / float64(p.Held), err
}

func openPages(c *client, n int) error {
	request := "GET " + pathPage + " HTTP/1.1\r\nHost: " + c.proxy.String() + "\r\n\r\n"
	return c.ask(n, []byte(request), pageBody)
}

func openHandshakes(c *client, n int) error {
	return c.ask(n, upgradeRequest(c.proxy.String(), pathMute), nil)
}

func openLargest(c *client, n int) error {
	head := bytes.TrimSuffix(upgradeRequest(c.proxy.String(), pathMute), []byte("\r\n"))
	for len(head) < largestHead {
		head = fmt.Appendf(head, "X-Filler: %s\r\n", pattern(1000))
	}
	head = append(head, "\r\n"...)
	return c.ask(n, appendFrame(head, opBinary, &loadMask, pattern(behindHead)), nil)
}

func openBlocked(c *client, n int) error {
	c.loop.segment = blockedSegment
	b := &blocked{frame: appendFrame(nil, opBinary, &loadMask, pattern(64<<10))}
	return c.openSessions(n, pathDeaf, func() role { return b })
}

// A question is a connection that is not a session: it sends one request, waits for the
// answer if one is expected, and stays open.
type question struct {
	all    *questions
	answer []byte // so far
}

type questions struct {
	client  *client
	want    []byte // the end of the answer; nil if no answer may come
	missing int    // answers that have not arrived
}

// ask sends the same request on n connections, and waits for the answers.
func (c *client) ask(n int, request, want []byte) error {
	all := &questions{client: c, want: want}
	for range n {
		if err := c.runUntil(openLimit, func() bool { return all.missing < dialWindow }); err != nil {
			return err
		}
		if _, err := c.connect(c.proxy, request, &question{all: all}); err != nil {
			return err
		}
		if want != nil {
			all.missing++
		}
	}
	return c.runUntil(openLimit, func() bool { return all.missing == 0 })
}

func (q *question) received(_ *conn, p []byte) error {
	q.answer = append(q.answer, p...)
	switch {
	case q.all.want == nil:
		return fmt.Errorf("an unexpected answer: %.40q", q.answer)
	case bytes.HasPrefix(q.answer, []byte("HTTP/1.1 200 ")) && bytes.HasSuffix(q.answer, q.all.want):
		q.all.missing--
	}
	return nil
}

func (q *question) drained(*conn) error { return nil }

func (q *question) ended(_ *conn, err error) {
	q.all.client.fail(fmt.Errorf("a connection that must stay open ended: %w", err))
}

// A blocked session writes until the kernel takes no more, and does not read.
type blocked struct{ frame []byte }

func (b *blocked) opened(s *session) error {
	if err := s.conn.deafen(); err != nil {
		return err
	}
	return b.drained(s)
}

// drained continues when the kernel has taken the bytes that had to wait.
func (b *blocked) drained(s *session) error {
	for len(s.conn.out) == 0 {
		if err := s.send(b.frame); err != nil {
			return err
		}
	}
	return nil
}

// data ignores messages that arrive together with the answer.
func (b *blocked) data(*session, *frameHeader, []byte, uint64) error { return nil }
func (b *blocked) closed(*session)                                   {}
