package web

import (
	"errors"
	"io"
	"net"

	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/upgrade"
)

// heads is a connection to the upstream on which net/http reads the heads of an
// answer, interim ones included, as package upgrade has understood and written
// them. A head that upgrade refuses is an error: net/http would be more lenient, and
// miss what concerns one hop alone. What follows the final head is passed unread.
// There is one answer to a connection.
type heads struct {
	net.Conn
	limit  int                // of a head, in bytes
	spells func(field.Fields) // is told of each head

	held     []byte // the beginning of a head
	searched int    // how much of held has been searched for the head's end
	ready    []byte // what is to be read next
	done     bool   // the final head has come
	err      error  // why no more heads are read
}

var errAnswerHead = errors.New("the answer's head is larger than HOLDFAST_MAX_HEADER_SIZE")

// readsHeads puts heads around a connection.
func (s *Server) readsHeads(conn net.Conn, spells func(field.Fields)) net.Conn {
	return &heads{Conn: conn, limit: s.cfg.MaxHeaderSize, spells: spells}
}

func (c *heads) Read(b []byte) (int, error) {
	for len(c.ready) == 0 && !c.done {
		if c.err != nil {
			return 0, c.err
		}
		n, err := c.Conn.Read(b)
		c.take(b[:n])
		if err != nil && c.err == nil {
			c.err = c.brokenOff(err)
		}
	}
	if len(c.ready) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// brokenOff is the error of a connection that ended with err before the final head
// was whole.
func (c *heads) brokenOff(err error) error {
	if err == io.EOF && len(c.held) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take looks for heads in what has come.
func (c *heads) take(b []byte) {
	c.held = append(c.held, b...)
	for !c.done {
		if c.err = upgrade.CheckStart(c.held); c.err != nil {
			return
		}
		end := upgrade.HeadEnd(c.held, c.searched)
		c.searched = len(c.held)
		if end > c.limit || end < 0 && len(c.held) > c.limit {
			c.err = errAnswerHead
			return
		}
		if end < 0 {
			return
		}
		head, err := upgrade.ParseResponse(c.held[:end])
		if err != nil {
			c.err = err
			return
		}
		c.spells(head.Fields)
		c.ready = head.Append(c.ready)
		c.held, c.searched = c.held[end:], 0
		if !head.Interim() {
			c.pass()
		}
	}
}

// pass ends the search: what is held, and all that follows, is the body's.
func (c *heads) pass() {
	c.ready = append(c.ready, c.held...)
	c.held, c.done = nil, true
}
