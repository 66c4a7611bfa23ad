//go:build faults

package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

const (
	chunkSize  = 64 << 10 // of what is written at once
	talkSize   = 64       // of a short message
	patternLen = 251      // a prime, so that no frame size hides a gap
)

// pattern holds the bytes that a peer sends, over and over: each byte of all
// messages together is known by its offset.
var pattern = func() []byte {
	p := make([]byte, chunkSize+patternLen)
	for i := range p {
		p[i] = byte(i % patternLen)
	}
	return p
}()

// A session is a peer's side of one connection.
type session struct {
	*program
	id     int
	conn   net.Conn
	from   io.Reader // conn, and before it what has come already
	client bool
	stream bool          // a server's, at streamPath
	over   chan struct{} // closed at the end

	received, told int // bytes of messages
	part           [chunkSize]byte

	mu      sync.Mutex // of all that is written
	sent    int        // bytes of messages
	closing bool       // our Close is sent
}

var errCorrupt = errors.New("other bytes than were sent")

// run reads frames until the end, and tells of it.
func (s *session) run() {
	defer close(s.over)
	defer s.conn.Close()
	if s.TalkEvery > 0 {
		go s.every(s.TalkEvery, func() error { return s.sends(talkSize, talkSize) })
	}
	if s.PingEvery > 0 {
		go s.every(s.PingEvery, func() error { return s.writes(ws.OpPing, []byte("own")) })
	}
	if s.stream {
		go s.floods(frameSize, 0)
	}
	if s.Visit != "" {
		go s.sends(talkSize, talkSize)
	}
	told, err := s.reads(s.paced())
	switch {
	case errors.Is(err, errCorrupt):
		s.out <- event{Event: "corrupt", Session: s.id, Bytes: s.received}
	case told != nil:
		code, reason := ws.ParseCloseFrameData(told)
		if s.Quiet && (code == ws.StatusNormalClosure || code == ws.StatusGoingAway) {
			return
		}
		s.out <- event{Event: "closed", Session: s.id, Bytes: s.received, Code: int(code), Reason: reason}
	case s.Tolerant, s.Visit == "abort" && s.received > 0: // the latter is our own doing
	default:
		s.out <- event{Event: "ended", Session: s.id, Bytes: s.received, Error: fmt.Sprint(err)}
	}
}

func (s *session) every(interval time.Duration, do func() error) {
	for tick := time.NewTicker(interval); ; {
		select {
		case <-tick.C:
			if do() != nil {
				tick.Stop()
				return
			}
		case <-s.over:
			tick.Stop()
			return
		}
	}
}

// paced is the reader at the pace of the behaviour.
func (s *session) paced() io.Reader {
	if s.ReadRate == 0 {
		return s.from
	}
	return &slowReader{s.from, s.ReadRate}
}

// A slowReader reads ten times a second at most its share of rate.
type slowReader struct {
	from io.Reader
	rate int
}

func (r *slowReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p[:min(len(p), r.rate/10)])
	time.Sleep(time.Duration(n) * time.Second / time.Duration(r.rate))
	return n, err
}

// reads returns the payload of the peer's Close, if one came.
func (s *session) reads(from io.Reader) (closed []byte, err error) {
	buffer := &bufferedReader{from: from}
	for {
		h, err := ws.ReadHeader(buffer)
		if err != nil {
			return nil, err
		}
		if !h.OpCode.IsControl() {
			if err := s.takes(h, buffer); err != nil {
				return nil, err
			}
			continue
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(buffer, payload); err != nil {
			return nil, err
		}
		if h.Masked {
			ws.Cipher(payload, h.Mask, 0)
		}
		switch {
		case s.Mute:
		case h.OpCode == ws.OpPing:
			// What waits to be written must not keep it from reading: if all who are in
			// a circle write before they read, none goes on.
			go s.answers("pinged", ws.OpPong, payload)
		case h.OpCode == ws.OpClose:
			s.answers("closing", ws.OpClose, payload)
			return append([]byte{}, payload...), nil
		}
	}
}

// A bufferedReader is a bufio.Reader whose buffer holds as much as one read brings.
type bufferedReader struct {
	from io.Reader
	held []byte
	room [chunkSize]byte
}

func (b *bufferedReader) Read(p []byte) (int, error) {
	if len(b.held) == 0 {
		n, err := b.from.Read(b.room[:])
		if n == 0 {
			return 0, err
		}
		b.held = b.room[:n]
	}
	n := copy(p, b.held)
	b.held = b.held[n:]
	return n, nil
}

// takes holds a message's payload against what must come.
func (s *session) takes(h ws.Header, from io.Reader) error {
	part := s.part[:]
	for offset := 0; offset < int(h.Length); {
		n, err := from.Read(part[:min(len(part), int(h.Length)-offset)])
		if err != nil {
			return err
		}
		if h.Masked {
			ws.Cipher(part[:n], h.Mask, offset)
		}
		at := s.received % patternLen
		if !bytes.Equal(part[:n], pattern[at:at+n]) {
			return errCorrupt
		}
		s.received += n
		offset += n
	}
	for s.TellEvery > 0 && s.received-s.told >= s.TellEvery {
		s.told += s.TellEvery
		s.out <- event{Event: "received", Session: s.id, Bytes: s.told}
	}
	if s.Echo {
		return s.sends(int(h.Length), int(h.Length))
	}
	switch s.Visit {
	case "close":
		go s.close(int(ws.StatusNormalClosure), "")
	case "abort":
		return io.EOF
	}
	return nil
}

// answers sends a pong or a Close as the behaviour has it.
func (s *session) answers(asked string, opcode ws.OpCode, payload []byte) {
	if s.TellAsked {
		s.out <- event{Event: asked, Session: s.id}
	}
	time.Sleep(s.AnswerDelay)
	if s.AnswerAfter > 0 {
		_ = s.sends(s.AnswerAfter, s.AnswerSize) // the read that follows fails too
	}
	_ = s.writes(opcode, payload)
	if s.TellAsked {
		s.out <- event{Event: "answered", Session: s.id}
	}
}

func (s *session) does(c command) {
	switch c.Do {
	case "send":
		_ = s.sends(c.Bytes, c.Size) // an end is told where it is read
		if c.Code != 0 {
			s.close(c.Code, c.Reason)
		}
	case "flood":
		s.floods(c.Size, c.Rate)
	case "close":
		s.close(c.Code, c.Reason)
	case "reset":
		_ = s.conn.(*net.TCPConn).SetLinger(0) // it fails only on a connection that is closed
		s.conn.Close()
	}
}

func (s *session) close(code int, reason string) {
	_ = s.writes(ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

// floods sends messages until the session ends.
func (s *session) floods(size, rate int) {
	if rate > 0 {
		share := rate / 10
		s.every(time.Second/10, func() error { return s.sends(share, min(size, share)) })
		return
	}
	for s.sends(chunkSize, size) == nil {
	}
}

// sends writes messages of size bytes each, total in all.
func (s *session) sends(total, size int) error {
	var chunk []byte
	for total > 0 {
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			return net.ErrClosed
		}
		chunk = chunk[:0]
		for total > 0 && (len(chunk) == 0 || len(chunk)+size <= chunkSize) {
			n := min(size, total)
			chunk = s.appendMessage(chunk, n)
			total -= n
		}
		_, err := s.conn.Write(chunk)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// appendMessage appends the next n bytes of the pattern as one message.
func (s *session) appendMessage(to []byte, n int) []byte {
	to = s.appendHeader(to, ws.OpBinary, n)
	for n > 0 {
		at := s.sent % patternLen
		part := pattern[at:][:min(n, chunkSize)]
		to = append(to, part...)
		s.sent += len(part)
		n -= len(part)
	}
	return to
}

// appendHeader masks a client's frames by zeros, which leaves payloads as they are.
func (s *session) appendHeader(to []byte, opcode ws.OpCode, n int) []byte {
	header := bytes.NewBuffer(to)
	_ = ws.WriteHeader(header, ws.Header{Fin: true, OpCode: opcode, Masked: s.client, Length: int64(n)})
	return header.Bytes()
}

// writes sends a control frame, and nothing after a Close.
func (s *session) writes(opcode ws.OpCode, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return net.ErrClosed
	}
	s.closing = opcode == ws.OpClose
	_, err := s.conn.Write(append(s.appendHeader(nil, opcode, len(payload)), payload...))
	return err
}
