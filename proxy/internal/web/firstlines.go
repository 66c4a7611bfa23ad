package web

import (
	"bytes"
	"errors"
	"net"
	"strings"
)

// firstLines are what a request says in its first two lines, byte for byte. net/http
// takes a target that begins with two slashes for an authority, and removes an IPv6 zone
// from Host. So for those requests net/http writes a placeholder, which is replaced on
// the connection.
type firstLines struct{ target, host string }

var placeholder = firstLines{target: "/", host: "localhost"}

// passAsTheyAre reports whether net/http writes these lines.
func (f firstLines) passAsTheyAre() bool {
	return !strings.HasPrefix(f.target, "//") && !(strings.HasPrefix(f.host, "[") && strings.Contains(f.host, "%"))
}

func (f firstLines) lines(method string) string {
	return method + " " + f.target + " HTTP/1.1\r\nHost: " + f.host + "\r\n"
}

// on returns a connection to the upstream on which a request begins with f.
func (f firstLines) on(conn net.Conn, method string) net.Conn {
	if f == (firstLines{}) {
		return conn
	}
	return &relined{Conn: conn, from: placeholder.lines(method), to: f.lines(method)}
}

// relined is a connection on which the first bytes are replaced.
type relined struct {
	net.Conn
	from, to string // from is empty once it has been replaced
	held     []byte // the beginning of from
}

var errFirstLines = errors.New("net/http has begun the request with other lines than expected")

func (c *relined) Write(b []byte) (int, error) {
	if c.from == "" {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	if len(c.held) < len(c.from) {
		return len(b), nil
	}
	rest, ok := bytes.CutPrefix(c.held, []byte(c.from))
	if !ok {
		return 0, errFirstLines
	}
	out := append([]byte(c.to), rest...)
	c.from, c.held = "", nil
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
