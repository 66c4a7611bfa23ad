package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gobwas/ws"
)

// Paths of the backend. The path of the request decides what a session does.
const (
	pathEcho    = "/echo"    // every message comes back
	pathIdle    = "/idle"    // an echo that takes part in fan-outs
	pathSink    = "/sink"    // one short acknowledgement for each bulkStep bytes
	pathSource  = "/source/" // then a size: sends messages of it, bulkStep bytes for each message received
	pathControl = "/control" // each message starts a fan-out
	pathDeaf    = "/deaf"    // sends without end and reads nothing
	pathMute    = "/mute"    // a request for it is not answered
	pathPage    = "/page"    // not a session but a small page
	pathVoid    = "/void"    // everything received is discarded without a look at it
)

// pageBody is the page.
var pageBody = []byte("a small page")

// bulkStep is the number of bytes for one acknowledgement or one grant. It is a multiple of
// every bulk message's size.
const bulkStep = 1 << 20

// fanOutMessage is what each idle session is sent in a fan-out.
var fanOutMessage = bytes.Repeat([]byte("f"), 64)

// A backend is the service behind the proxies.
type backend struct {
	idle    map[*service]struct{}
	scratch []byte // reused for every frame sent
}

// A service is the backend's side of one session.
type service struct {
	backend *backend
	conn    *conn
	path    string // empty until upgraded
	head    []byte // the request so far
	frames  frameReader
	message []byte // what has arrived of a message that comes in parts
	closing bool

	unacknowledged int    // sink: bytes since the last acknowledgement
	credit         int    // source: bytes that may still be sent
	source         []byte // source: the frame that is sent again and again
	sourceSize     int    // source: its payload in bytes
}

// runBackend prints the address it listens on, then serves until it is killed.
func runBackend() error {
	l, err := newLoop()
	if err != nil {
		return err
	}
	b := &backend{idle: make(map[*service]struct{})}
	address, err := l.listen(anyPort, func() endpoint { return &service{backend: b} })
	if err != nil {
		return err
	}
	fmt.Println(address)
	for {
		if err := l.turn(forever); err != nil {
			return err
		}
	}
}

func (s *service) received(c *conn, p []byte) error {
	switch s.path {
	case "":
	case pathVoid:
		return nil
	default:
		return s.frames.feed(p, s)
	}
	s.conn = c
	s.head = append(s.head, p...)
	head, rest, ok := cutHead(s.head)
	if !ok {
		return nil
	}
	s.head = nil
	if err := s.upgrade(head); err != nil {
		return err
	}
	return s.received(c, rest)
}

// upgrade answers the request and prepares what its path asks for.
func (s *service) upgrade(head []byte) error {
	s.path = requestPath(head)
	if size, ok := strings.CutPrefix(s.path, pathSource); ok {
		n, err := strconv.Atoi(size)
		if err != nil || n <= 0 {
			return fmt.Errorf("source of messages of %q bytes", size)
		}
		s.source, s.sourceSize = appendFrame(nil, opBinary, nil, make([]byte, n)), n
	}
	answer := upgradeResponse(headerValue(head, "Sec-WebSocket-Key"))
	switch s.path {
	case pathIdle:
		s.backend.idle[s] = struct{}{}
	case pathDeaf:
		return s.stall(answer)
	case pathMute:
		return nil
	case pathPage:
		s.path = "" // another request may follow
		answer = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(pageBody), pageBody)
	}
	return s.conn.write(answer)
}

// stall answers the request. Then it sends as much as the kernel takes, and reads nothing.
func (s *service) stall(answer []byte) error {
	if err := s.conn.write(answer); err != nil {
		return err
	}
	if err := s.conn.deafen(); err != nil {
		return err
	}
	const size = 64 << 10
	s.source, s.sourceSize, s.credit = appendFrame(nil, opBinary, nil, make([]byte, size)), size, math.MaxInt
	return s.pour()
}

// drained continues what a full socket interrupted.
func (s *service) drained(c *conn) error {
	if s.closing {
		c.end(nil)
		return nil
	}
	return s.pour()
}

func (s *service) ended(*conn, error) { delete(s.backend.idle, s) }

// frame puts a message together, without a copy if it came in one part.
func (s *service) frame(h *frameHeader, part []byte, offset uint64) error {
	if s.path == pathSink && !h.isControl() {
		return s.swallow(len(part))
	}
	if h.masked {
		ws.Cipher(part, h.mask, int(offset))
	}
	if uint64(len(part)) == h.length {
		return s.handle(h.opcode, part)
	}
	s.message = append(s.message, part...)
	if uint64(len(s.message)) < h.length {
		return nil
	}
	message := s.message
	s.message = nil
	return s.handle(h.opcode, message)
}

// handle answers a message as the session's path demands.
func (s *service) handle(opcode byte, payload []byte) error {
	switch opcode {
	case opClose:
		return s.close(payload)
	case opPing:
		return s.send(opPong, payload)
	case opPong:
		return nil
	}
	switch {
	case s.source != nil:
		s.credit += bulkStep
		return s.pour()
	case s.path == pathControl:
		return s.backend.fanOut()
	}
	return s.send(opcode, payload)
}

// swallow counts a sink's bytes and acknowledges each bulkStep of them.
func (s *service) swallow(n int) error {
	s.unacknowledged += n
	if s.unacknowledged < bulkStep {
		return nil
	}
	s.unacknowledged -= bulkStep
	return s.send(opBinary, bulkAck)
}

// bulkAck acknowledges bulkStep bytes.
var bulkAck = []byte("ack")

// pour sends a source's messages while there is credit and the kernel takes them.
func (s *service) pour() error {
	for s.credit > 0 && len(s.conn.out) == 0 {
		s.credit -= s.sourceSize
		if err := s.conn.write(s.source); err != nil {
			return err
		}
	}
	return nil
}

// close answers a Close and, as the server, ends the TCP connection first (RFC
// 6455 section 7.1.1).
func (s *service) close(payload []byte) error {
	s.closing = true
	if err := s.send(opClose, payload); err != nil {
		return err
	}
	if len(s.conn.out) == 0 {
		s.conn.end(nil)
	}
	return nil
}

func (s *service) send(opcode byte, payload []byte) error {
	s.backend.scratch = appendFrame(s.backend.scratch[:0], opcode, nil, payload)
	return s.conn.write(s.backend.scratch)
}

// fanOut sends every idle session one message, one after the other.
func (b *backend) fanOut() error {
	for s := range b.idle {
		if err := s.send(opText, fanOutMessage); err != nil {
			s.conn.end(err)
		}
	}
	return nil
}
