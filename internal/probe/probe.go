// Package probe tests an upstream: it opens a WebSocket connection as a client would,
// pings, and closes the connection.
//
// The path through it: Addresses looks the upstream's name up (addresses.go), and the caller
// tries each address. Try dials (Target.dial), upgrades (Target.ask, in upgrade.go) and
// pings (ping). It returns what happened. Get makes a plain request, as the proxy's checks do
// (health.go). The caller decides what that means.
package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/gobwas/ws"

	"holdfast/proxy"
)

// Target says where an upstream is, and what to send to it.
type Target struct {
	Network string // "tcp" or "unix"
	Address string // in the form of package net
	Path    string // the target of the request
	Host    string // the Host of the request
	Header  proxy.HeaderFields
	TLS     func() *tls.Config // nil means no TLS

	DialTimeout      time.Duration // the lookup of a name; TCP and TLS of one address
	HandshakeTimeout time.Duration // the upstream's answer
	PingTimeout      time.Duration // the pong
	MaxHeaderSize    int           // of the answer
	MaxFrameSize     int64         // of a data frame; 0 means any
	MaxMessageSize   int64         // of a message; 0 means any

	// Waits is told, from another goroutine, that a step has taken a second and may take
	// up to limit. It may be nil.
	Waits func(step Step, limit time.Duration)
}

// Result is the result of a probe whose upgrade succeeded.
type Result struct {
	Upgraded time.Duration // how long dialling and the upgrade took
	Answered time.Duration // how long the pong took
	Echo     bool          // the pong echoes the ping; some upstreams answer with another payload
	Silent   bool          // there was no answer within PingTimeout
}

// A Step is a step of a probe.
type Step uint8

const (
	Dial      Step = iota // the connection, name resolution included
	SecureTLS             // the TLS handshake; an upstream may refuse it later, during Upgrade
	Upgrade               // the request and the answer to it
	Ping                  // the ping and the answer to it
	Health                // the request of Get and the answer to it
)

// A Failure says in which step a probe failed, and how.
type Failure struct {
	Step   Step
	Status int // of an answer that is not a 101; 0 if Err is another failure
	Err    error

	Location  string // of an answer that is not a 101
	SpeaksTLS bool   // the upgrade failed without TLS, and the upstream speaks TLS
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Try opens a session with the upstream and pings it. If the upstream does not answer the
// ping, that is not an error, since some upstreams never answer. If the upstream ends the
// session, that is an error. Every error is a *Failure.
func Try(t Target) (Result, error) {
	var r Result
	began := time.Now()
	conn, incoming, err := t.upgrade()
	if err != nil {
		return r, t.examine(err)
	}
	defer conn.Close()
	defer t.waits(Ping, t.PingTimeout)()
	r.Upgraded = time.Since(began)

	if err := conn.SetDeadline(time.Now().Add(t.PingTimeout)); err != nil {
		return r, &Failure{Step: Ping, Err: err}
	}
	r.Answered, r.Echo, err = ping(conn, proxy.ReadUpstreamFrames(incoming, t.MaxFrameSize, t.MaxMessageSize))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.Silent = true
	case err != nil:
		return r, &Failure{Step: Ping, Err: err}
	}
	return r, nil
}

// upgrade returns an upgraded connection, and a reader of all that the upstream sends
// after its answer.
func (t Target) upgrade() (net.Conn, io.Reader, error) {
	stop := t.waits(Dial, t.DialTimeout)
	conn, err := t.dial()
	stop()
	if err != nil {
		return nil, nil, err
	}
	stop = t.waits(Upgrade, t.HandshakeTimeout)
	incoming, err := t.ask(conn)
	stop()
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, incoming, nil
}

// dial connects to the upstream, with TLS if t.TLS is set.
func (t Target) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), t.DialTimeout)
	defer cancel()
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, t.Network, t.Address)
	switch {
	case err != nil:
		return nil, &Failure{Step: Dial, Err: err}
	case reachedItself(plain):
		plain.Close()
		return nil, &Failure{Step: Dial, Err: errors.New("nothing listens there: the connection reached itself")}
	case t.TLS == nil:
		return plain, nil
	}
	conn := tls.Client(plain, t.TLS())
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, &Failure{Step: SecureTLS, Err: err}
	}
	return conn, nil
}

// reachedItself reports whether the kernel connected the socket to itself. It does so if
// it chooses the dialled port as the local port too.
func reachedItself(conn net.Conn) bool {
	return conn.LocalAddr().String() == conn.RemoteAddr().String()
}

// ping pings the upstream and waits for the answer. echo says that the answer echoes the
// ping, and took is how long it took. Then ping sends a Close, so that the service does
// not log a lost connection.
//
// A pong that is not an echo may be the answer of an upstream that does not echo, or have
// nothing to do with the ping. An upstream that echoes does so before it answers the
// Close. So ping reads on until then.
//
// An upstream that refuses a session by a Close may have ended the connection when the
// ping is sent. Then the Close can still be read.
func ping(conn net.Conn, incoming *proxy.UpstreamFrames) (took time.Duration, echo bool, err error) {
	payload := rand.Text()[:8] // printable, since some upstreams echo a payload as a C string
	began := time.Now()
	unsent := send(conn, ws.NewPingFrame([]byte(payload)))
	pong, err := awaitPong(incoming)
	switch {
	case unsent != nil && !isVerdict(err):
		return 0, false, fmt.Errorf("cannot ping: %w", unsent)
	case err != nil:
		return 0, false, err
	}
	took = time.Since(began)
	// The probe has succeeded, whether this arrives or not.
	_ = send(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	_ = conn.SetReadDeadline(time.Now().Add(closeTimeout)) // an error shows in the next read
	for pong != payload && err == nil {
		if pong, err = awaitPong(incoming); pong == payload {
			took = time.Since(began)
		}
	}
	if violation, ok := errors.AsType[*proxy.UpstreamViolation](err); ok {
		return 0, false, violation
	}
	return took, pong == payload, nil
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
	return fmt.Sprintf("it sent a Close with code %d and reason %q instead of answering a ping", c.Code, c.Reason)
}

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

// awaitPong reads until the next pong, and returns its payload. A Close is an error of the
// type *Closed, and a broken rule one of the type *proxy.UpstreamViolation.
func awaitPong(incoming *proxy.UpstreamFrames) (payload string, err error) {
	for {
		got, err := incoming.Next()
		if _, violated := errors.AsType[*proxy.UpstreamViolation](err); violated {
			return "", err
		}
		if err != nil {
			return "", noPong(err)
		}
		if got.Op == ws.OpClose {
			return "", &Closed{Code: int(got.Code), Reason: string(got.Payload[min(2, len(got.Payload)):])}
		}
		if got.Op == ws.OpPong {
			return string(got.Payload), nil
		}
	}
}

func noPong(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it ended the connection instead of answering a ping")
	}
	return fmt.Errorf("no answer to a ping: %w", err)
}

// Rounded returns d without digits that are too small to matter.
func Rounded(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
