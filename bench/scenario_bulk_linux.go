package main

import (
	"errors"
	"fmt"
)

const (
	bulkConns  = 4
	bulkWindow = 2 // steps under way on a connection
)

var bulkScenario = scenario{
	name:    "bulk",
	about:   "large messages in one direction on 4 connections",
	figures: bulkFigures,
	run:     runBulk,
}

func bulkFigures(p params) []figure {
	var figures []figure
	for _, size := range p.BulkSizes {
		figures = append(figures,
			figure{Key: bulkKey("up", size), Title: "CPU per GB, " + sizeName(size) + " messages to the backend", Unit: "ms"},
			figure{Key: bulkKey("down", size), Title: "CPU per GB, " + sizeName(size) + " messages to the client", Unit: "ms"})
	}
	return figures
}

func bulkKey(direction string, size int) string { return fmt.Sprintf("%s-%d", direction, size) }

func runBulk(c *client, p params) (map[string]float64, error) {
	if !c.meter.present() {
		return nil, nil
	}
	values := make(map[string]float64)
	for _, size := range p.BulkSizes {
		for _, direction := range []*bulk{uploads(size), downloads(size)} {
			cost, err := direction.measure(c, p)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", direction.path, err)
			}
			values[bulkKey(direction.name, size)] = cost
		}
	}
	return values, nil
}

// A bulk moves messages in one direction, bulkStep bytes at a time, with
// bulkWindow steps under way on each session.
type bulk struct {
	name string
	path string
	// ask starts the next step.
	ask func(s *session) error
	// arrived handles a part of a message from the backend. It returns how many bytes
	// have been moved according to it, or an error if the message is not expected.
	arrived func(h *frameHeader, part []byte, offset uint64) (int, error)

	bytes    int // moved so far
	open     int // sessions
	stopping bool
}

// uploads returns a bulk that sends to a sink. The sink acknowledges with small messages.
func uploads(size int) *bulk {
	frame := appendFrame(nil, opBinary, &loadMask, pattern(size))
	return &bulk{
		name: "up",
		path: pathSink,
		ask: func(s *session) error {
			for range bulkStep / size {
				if err := s.send(frame); err != nil {
					return err
				}
			}
			return nil
		},
		arrived: func(h *frameHeader, part []byte, offset uint64) (int, error) {
			if err := checkPart(h, part, offset, opBinary, bulkAck); err != nil || !ends(h, part, offset) {
				return 0, err
			}
			return bulkStep, nil
		},
	}
}

// downloads returns a bulk that receives from a source. The source sends one step for each
// small message.
func downloads(size int) *bulk {
	frame := appendFrame(nil, opText, &loadMask, []byte("more"))
	return &bulk{
		name: "down",
		path: fmt.Sprint(pathSource, size),
		ask:  func(s *session) error { return s.send(frame) },
		arrived: func(h *frameHeader, part []byte, _ uint64) (int, error) {
			if h.opcode != opBinary || h.length != uint64(size) {
				return 0, fmt.Errorf("message has opcode %d and %d bytes, want %d and %d", h.opcode, h.length, opBinary, size)
			}
			return len(part), nil
		},
	}
}

// measure returns how many milliseconds of CPU time the proxy used for 10^9 bytes.
func (b *bulk) measure(c *client, p params) (float64, error) {
	if err := c.openSessions(bulkConns, b.path, func() role { return &bulkSession{all: b} }); err != nil {
		return 0, err
	}
	if err := c.runFor(p.Warmup); err != nil {
		return 0, err
	}
	before := b.bytes
	cpu, err := c.cpuDuring(func() error { return c.runFor(p.Measure) })
	if err != nil {
		return 0, err
	}
	bytes := b.bytes - before
	if bytes == 0 {
		return 0, errors.Join(errors.New("nothing arrived"), c.failure())
	}
	b.stopping = true
	err = c.runUntil(answerLimit, func() bool { return b.open == 0 })
	return float64(cpu) / millisecond / (float64(bytes) / gigabyte), err
}

// A bulkSession is one session of a bulk, with bulkWindow steps under way.
type bulkSession struct {
	all      *bulk
	asked    int // steps
	received int // bytes of the step that is arriving
}

func (b *bulkSession) opened(s *session) error {
	b.all.open++
	for range bulkWindow {
		if err := b.next(s); err != nil {
			return err
		}
	}
	return nil
}

func (b *bulkSession) closed(*session) { b.all.open-- }

func (b *bulkSession) data(s *session, h *frameHeader, part []byte, offset uint64) error {
	n, err := b.all.arrived(h, part, offset)
	if err != nil {
		return err
	}
	b.all.bytes += n
	b.received += n
	if b.received < bulkStep {
		return nil
	}
	b.received -= bulkStep
	b.asked--
	return b.next(s)
}

// next asks for another step. If the bulk is stopping, it closes the session after the
// last step.
func (b *bulkSession) next(s *session) error {
	switch {
	case !b.all.stopping:
		b.asked++
		return b.all.ask(s)
	case b.asked == 0:
		return s.close()
	}
	return nil
}
