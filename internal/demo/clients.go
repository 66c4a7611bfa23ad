package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/gobwas/ws"
)

// client is a WebSocket client that never pings. It is frozen until listen
// runs: nobody reads its socket, so nobody answers pings.
type client struct {
	name  string
	conn  net.Conn
	in    io.Reader     // conn, after what the handshake read too far
	heard chan string   // messages
	ended chan struct{} // closed when listen has ended
	err   error         // why it did; after ended

	leaving atomic.Bool // its Close is sent
}

// dial connects and upgrades. Its name is its path.
func dial(ctx context.Context, name, address string) (*client, error) {
	conn, early, _, err := ws.Dialer{}.Dial(ctx, "ws://"+address+"/"+name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := &client{
		name:  name,
		conn:  conn,
		in:    conn,
		heard: make(chan string, 1),
		ended: make(chan struct{}),
	}
	if early != nil {
		c.in = early // it reads on from conn
	}
	return c, nil
}

// listen reads and answers until the connection ends.
func (c *client) listen() {
	defer close(c.ended)
	defer c.conn.Close()
	c.err = converse(c.in, answers{c}, ws.StateClientSide, func(_ ws.OpCode, payload []byte) error {
		select {
		case c.heard <- string(payload):
		default: // nobody asked for it
		}
		return nil
	})
}

func (c *client) send(text string) error {
	return c.write(ws.NewTextFrame([]byte(text)))
}

// leave begins the close handshake.
func (c *client) leave() error {
	c.leaving.Store(true)
	return c.write(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
}

// answers are the pongs and the Close that listen writes. RFC 6455 5.5.1: there
// are none after a Close of one's own.
type answers struct{ *client }

func (a answers) Write(p []byte) (int, error) {
	if a.leaving.Load() {
		return len(p), nil
	}
	return a.conn.Write(p)
}

// write sends a frame with one call, since listen writes pongs at the same time.
func (c *client) write(f ws.Frame) error {
	frame, err := ws.CompileFrame(ws.MaskFrameInPlace(f))
	if err != nil {
		return err
	}
	_, err = c.conn.Write(frame)
	return err
}

var errEnded = errors.New("the connection ended")

// hear waits for a message.
func (c *client) hear(ctx context.Context) (string, error) {
	select {
	case text := <-c.heard:
		return text, nil
	case <-c.ended:
		return "", errEnded
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// hasEnded reports whether the client knows of its connection's end.
func (c *client) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// farewell waits for the end, and says what this side was told.
func (c *client) farewell(ctx context.Context) (farewell, error) {
	select {
	case <-c.ended:
		return farewellOf(c.err), nil
	case <-ctx.Done():
		return farewell{}, context.Cause(ctx)
	}
}
