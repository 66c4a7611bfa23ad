//go:build faults && amd64

package inject

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// What a client may ask the service for.
const (
	echoPath    = "/echo"
	pagePath    = "/page"
	refusedPath = "/refused"
)

// What the service does when it is sent these messages. It echoes all others.
const (
	closePlease = "close"
	abortPlease = "abort"
	pushPlease  = "push" // it is sent a message of pushSize
)

// pushSize is more than the sockets between a service and a client hold.
const pushSize = 8 << 20

// serveEcho is the service's handler.
func serveEcho(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Upgrade") == "" || r.URL.Path == refusedPath:
		if r.URL.Path == refusedPath {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, strings.Repeat("a line of a page\n", 4096)) // the client may have gone
	default:
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err == nil {
			echo(conn)
		}
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	for {
		message, op, err := wsutil.ReadClientData(conn)
		switch {
		case err != nil:
			return
		case string(message) == closePlease:
			_ = ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))) // the read tells
		case string(message) == abortPlease:
			abort(conn)
			return
		case string(message) == pushPlease:
			if wsutil.WriteServerText(conn, bytes.Repeat([]byte("x"), pushSize)) != nil {
				return
			}
		default:
			if wsutil.WriteServerMessage(conn, op, message) != nil {
				return
			}
		}
	}
}

// abort makes the coming Close of a connection a reset where there are resets.
func abort(conn net.Conn) {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // it fails only on a connection that is closed
	}
}

// A client opens connections to the proxy.
type client struct {
	network, address string
	tls              *tls.Config // nil without TLS
	holds            func() bool // asks whether the proxy holds bytes for clients
}

// callLimit bounds each thing that a client of the load does. A call that failed may leave
// a client without an answer until one of the proxy's timeouts.
const callLimit = 15 * time.Second

func (c *client) connect(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, c.network, c.address)
	if err != nil || c.tls == nil {
		return conn, err
	}
	secured := tls.Client(conn, c.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// open opens a session.
func (c *client) open(ctx context.Context, path string) (net.Conn, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(callLimit))
	if err := upgrade(conn, path); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// upgrade makes the opening handshake on a connection.
func upgrade(conn net.Conn, path string) error {
	early, _, err := ws.Dialer{}.Upgrade(conn, &url.URL{Scheme: "ws", Host: "holdfast", Path: path})
	if early != nil {
		err = errors.Join(err, errors.New("frames came with the 101"))
	}
	return err
}

// says sends a message and wants it back.
func says(conn net.Conn, message string) error {
	if err := wsutil.WriteClientText(conn, []byte(message)); err != nil {
		return err
	}
	answer, err := wsutil.ReadServerText(conn)
	if err == nil && string(answer) != message {
		err = fmt.Errorf("echo of %d bytes differs", len(answer))
	}
	return err
}

// ask sends a request that is not an upgrade and returns the whole answer.
func ask(conn net.Conn, path string) (answer []byte, err error) {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: holdfast\r\n\r\n", path); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// rounds is how many different rounds there are.
const rounds = 4

// round does one of everything that clients do. Each part may fail: which parts do is what
// the proxy counts.
func (c *client) round(n int) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	c.session(ctx, n)
	c.page(ctx, n%2 == 0)
	if conn, err := c.open(ctx, refusedPath); err == nil {
		conn.Close()
	}
	if conn, err := c.connect(ctx); err == nil { // a request that the proxy refuses itself
		conn.SetDeadline(time.Now().Add(callLimit))
		_, _ = io.WriteString(conn, "GET /\n\n")
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
}

// session opens a session, echoes, and ends the session in one of the ways.
func (c *client) session(ctx context.Context, n int) {
	conn, err := c.open(ctx, echoPath)
	if err != nil {
		return
	}
	defer conn.Close()
	if says(conn, "a message") != nil {
		return
	}
	if n%rounds == 0 && !c.isPushed(conn) {
		return
	}
	switch n % rounds {
	case 0:
		_ = ws.WriteFrame(conn, ws.MaskFrameInPlace(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))))
	case 1:
		_ = wsutil.WriteClientText(conn, []byte(closePlease))
	case 2:
		_ = wsutil.WriteClientText(conn, []byte(abortPlease))
	case 3:
		abort(conn)
		return
	}
	_, _, _ = wsutil.ReadServerData(conn) // it answers a Close, and returns at the end
	_, _ = io.Copy(io.Discard, conn)
}

// pushLimit is how long a slow client waits for the proxy to hold bytes for it.
const pushLimit = 5 * time.Second

// isPushed lets the service send a message that fills the sockets on the way, and reads it
// when the proxy has to keep a part.
func (c *client) isPushed(conn net.Conn) bool {
	if wsutil.WriteClientText(conn, []byte(pushPlease)) != nil {
		return false
	}
	for began := time.Now(); !c.holds() && time.Since(began) < pushLimit; { // holds takes a while
	}
	_, err := wsutil.ReadServerText(conn)
	return err == nil
}

// page asks for a page, and then for a session on the same connection if joins.
func (c *client) page(ctx context.Context, joins bool) {
	conn, err := c.connect(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(callLimit))
	if _, err := ask(conn, pagePath); err != nil || !joins {
		return
	}
	if upgrade(conn, echoPath) == nil {
		_ = says(conn, "after a page")
	}
}
