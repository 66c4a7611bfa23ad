package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

// client is a WebSocket client that never pings. Until listen runs, the client is frozen:
// it does not read from its socket, and so does not answer pings.
type client struct {
	name  string
	conn  net.Conn
	in    io.Reader     // the bytes that the handshake read too far, then conn
	heard chan string   // messages, without heartbeats
	beats chan struct{} // heartbeats
	ended chan struct{} // closed when listen has returned
	err   error         // why the connection ended; valid once ended is closed

	leaving atomic.Bool // leave has been called
}

// dial connects and upgrades. The client's name is the path of its request.
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
		beats: make(chan struct{}, 1),
		ended: make(chan struct{}),
	}
	if early != nil {
		c.in = early // it goes on with conn
	}
	return c, nil
}

// listen reads messages and answers pings until the connection ends.
func (c *client) listen() {
	defer close(c.ended)
	defer c.conn.Close()
	c.err = converse(c.in, answers{c}, ws.StateClientSide, func(_ ws.OpCode, payload []byte) error {
		if string(payload) == beatText {
			select {
			case c.beats <- struct{}{}:
			default: // nobody has taken the heartbeat before
			}
			return nil
		}
		select {
		case c.heard <- string(payload):
		default: // hear has not taken the message before
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

// answers writes the pongs and the Close of listen. After the client's own Close it
// writes nothing (RFC 6455 5.5.1).
type answers struct{ *client }

func (a answers) Write(p []byte) (int, error) {
	if a.leaving.Load() {
		return len(p), nil
	}
	return a.conn.Write(p)
}

// write sends a frame in one call of Write, since listen may write pongs at the same time.
func (c *client) write(f ws.Frame) error {
	frame, err := ws.CompileFrame(ws.MaskFrameInPlace(f))
	if err != nil {
		return err
	}
	_, err = c.conn.Write(frame)
	return err
}

var errEnded = errors.New("the connection ended")

// hear waits for a message. It returns an error if the connection or ctx ends first.
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

// A watch is what a page's script has found out about its connection.
type watch struct {
	beats int       // heartbeats that came
	knew  time.Time // when it knew that the path is dead; zero if it does not know
}

// watch does what a page's script can do to find out that the path is dead. A script does not
// see pings, and a service may be silent for as long as it likes. Only heartbeats tell more:
// once they come, a silence of bound means that the path is dead. steady is called at the
// second heartbeat. The watch ends when it knows, with the connection or with ctx.
func (c *client) watch(ctx context.Context, bound time.Duration, steady func()) (w watch) {
	var silent <-chan time.Time // nil before the first heartbeat
	for {
		select {
		case <-c.beats:
			silent = time.After(bound)
			if w.beats++; w.beats == 2 {
				steady()
			}
		case w.knew = <-silent:
			return w
		case <-c.ended:
			return w
		case <-ctx.Done():
			return w
		}
	}
}

// hasEnded reports whether listen has seen the end of the connection.
func (c *client) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// farewell waits for the end of the connection. It returns the Close that the client
// received, if any.
func (c *client) farewell(ctx context.Context) (farewell, error) {
	select {
	case <-c.ended:
		return farewellOf(c.err), nil
	case <-ctx.Done():
		return farewell{}, context.Cause(ctx)
	}
}
