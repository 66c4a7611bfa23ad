package web

import (
	"net"

	"holdfast/proxy/internal/upgrade"
)

// heads is a connection to the upstream on which net/http reads the heads of an
// answer, interim ones included, as package upgrade has understood and written
// them. A head that upgrade refuses is passed as it is: net/http may be more
// lenient, and says what is wrong if it is not. What follows the final head is
// passed unread. There is one answer to a connection.
type heads struct {
	net.Conn
	limit int // of a head, in bytes; net/http refuses a longer one

	held     []byte // the beginning of a head
	searched int    // how much of held has been searched for the head's end
	ready    []byte // what is to be read next
	done     bool   // the final head has come
}

// readsHeads makes a connection such.
func (s *Server) readsHeads(conn net.Conn) net.Conn {
	return &heads{Conn: conn, limit: s.cfg.MaxHeaderSize}
}

func (c *heads) Read(b []byte) (int, error) {
	for len(c.ready) == 0 && !c.done {
		n, err := c.Conn.Read(b)
		c.take(b[:n])
		if err == nil {
			continue
		}
		if c.pass(); len(c.ready) == 0 {
			return 0, err
		}
	}
	if len(c.ready) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// take looks for heads in what has come.
func (c *heads) take(b []byte) {
	c.held = append(c.held, b...)
	for !c.done {
		end := upgrade.HeadEnd(c.held, c.searched)
		c.searched = len(c.held)
		if end > c.limit || end < 0 && len(c.held) > c.limit {
			c.pass()
			return
		}
		if end < 0 {
			return
		}
		head, err := upgrade.ParseResponse(c.held[:end])
		if err != nil {
			c.pass()
			return
		}
		c.ready = head.Append(c.ready)
		c.held, c.searched = c.held[end:], 0
		if !head.Interim() {
			c.pass()
		}
	}
}

// pass ends the search: what is held, and all that follows, is read as it is.
func (c *heads) pass() {
	c.ready = append(c.ready, c.held...)
	c.held, c.done = nil, true
}
