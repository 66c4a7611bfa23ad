package probe

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/gobwas/ws"

	"holdfast/proxy"
)

// A conversation is what a probe and an upstream say to each other in a session.
type conversation struct {
	Target
	conn     net.Conn
	incoming *proxy.UpstreamFrames
	result   *Result

	ping string    // the payload of the ping
	sent time.Time // when the ping was
}

// askForPong pings the upstream and waits for a pong.
//
// A pong that is not an echo may be the answer of an upstream that does not echo, or have
// nothing to do with the ping. An upstream that echoes does so before it answers what comes
// behind the ping. So next looks for the echo until the end.
func (c *conversation) askForPong() (err error) {
	defer c.waits(Ping, c.PingTimeout)()
	c.ping, c.sent = newPayload(), time.Now()
	c.result.Silent, err = c.ask(isPong, ws.NewPingFrame([]byte(c.ping)))
	if !c.result.Echo {
		c.result.Answered = time.Since(c.sent)
	}
	return err
}

// beat sends the application's heartbeat, if there is one, and waits for the answer. If none
// is configured, another ping shows whether the session lives on.
func (c *conversation) beat() (err error) {
	if c.AppPing == "" {
		return nil
	}
	defer c.waits(AppPing, c.PingTimeout)()
	began, text := time.Now(), ws.NewTextFrame([]byte(c.AppPing))
	switch {
	case c.AppPong != nil:
		c.result.AppSilent, err = c.ask(c.isAppPong, text)
		c.result.AppAnswered = time.Since(began)
	case c.result.Echo:
		payload := newPayload()
		isEcho := func(got *proxy.UpstreamFrame) bool { return isPong(got) && string(got.Payload) == payload }
		_, err = c.ask(isEcho, text, ws.NewPingFrame([]byte(payload)))
		c.result.LivedOn = err == nil
	default:
		// Without echoes a pong does not tell to which ping it is. An upstream that has
		// ended the session shows that elsewhere.
		_ = send(c.conn, text)
	}
	return err
}

// leave sends a Close, so that the service does not log a lost connection, unless the upstream
// was silent. It waits for an echo that has not come yet.
func (c *conversation) leave() error {
	if c.result.Silent && (c.AppPong == nil || c.result.AppSilent) {
		return nil
	}
	_ = c.conn.SetDeadline(time.Now().Add(closeTimeout)) // an error shows in the next read
	// The probe has succeeded, whether this arrives or not.
	_ = send(c.conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	var err error
	for !c.result.Echo && !c.result.Silent && err == nil {
		_, err = c.next()
	}
	if violation, ok := errors.AsType[*proxy.UpstreamViolation](err); ok {
		return violation
	}
	return nil
}

// newPayload returns a ping's payload. It is printable, since some upstreams echo a payload as
// a C string.
func newPayload() string { return rand.Text()[:8] }

func isPong(got *proxy.UpstreamFrame) bool { return got.Op == ws.OpPong }

func (c *conversation) isAppPong(got *proxy.UpstreamFrame) bool {
	_, answers := c.AppPong.Match(got.Payload)
	return got.Op == ws.OpText && answers
}

// ask sends frames and reads on until one is heard. It returns true if none has come within
// PingTimeout. A Close is an error of the type *Closed, and a broken rule one of the type
// *proxy.UpstreamViolation.
//
// An upstream that refuses a session by a Close may have ended the connection when the
// frames are sent. Then the Close can still be read.
func (c *conversation) ask(isHeard func(*proxy.UpstreamFrame) bool, frames ...ws.Frame) (silent bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.PingTimeout)); err != nil {
		return false, err
	}
	var unsent error
	for _, frame := range frames {
		if unsent == nil {
			unsent = send(c.conn, frame)
		}
	}
	for {
		got, err := c.next()
		switch {
		case err == nil && isHeard(got):
			return false, nil
		case err == nil:
		case unsent != nil && !isVerdict(err):
			return false, fmt.Errorf("cannot send: %w", unsent)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return true, nil
		default:
			return false, err
		}
	}
}

// next reads the next frame. It notes the echo of the ping, whatever the caller waits for.
func (c *conversation) next() (*proxy.UpstreamFrame, error) {
	got, err := c.incoming.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, ErrEnded
	case err != nil:
		return nil, err
	case got.Op == ws.OpClose:
		return nil, &Closed{Code: int(got.Code), Reason: string(got.Payload[min(2, len(got.Payload)):])}
	case isPong(got) && string(got.Payload) == c.ping:
		c.result.Echo, c.result.Answered = true, time.Since(c.sent)
	}
	return got, nil
}

// isVerdict reports whether err is about what the upstream has sent, and not about the
// connection.
func isVerdict(err error) bool {
	_, closed := errors.AsType[*Closed](err)
	_, violated := errors.AsType[*proxy.UpstreamViolation](err)
	return closed || violated
}

// Closed is the error of an upstream that ends the session by a Close.
type Closed struct {
	Code   int    // 0 if the Close has none
	Reason string // may be empty
}

func (c *Closed) Error() string {
	return fmt.Sprintf("it sent a Close with code %d and reason %q", c.Code, c.Reason)
}

// ErrEnded is the error of an upstream that ends the connection without a Close.
var ErrEnded = errors.New("it ended the connection")

// closeTimeout is how long an upstream that has not echoed the ping may take to answer the
// Close.
const closeTimeout = time.Second

// send writes a frame, masked with an unpredictable key as a client must (RFC 6455,
// section 5.3).
func send(w io.Writer, frame ws.Frame) error {
	var key [4]byte
	rand.Read(key[:])
	return ws.WriteFrame(w, ws.MaskFrameWith(frame, key))
}
