// Package probe tries an upstream out: it upgrades a connection as a client of it
// would, sends one ping, and says goodbye.
//
// The path through it: Try dials (Target.dial), upgrades (Target.ask) and pings
// (ping). It is given values and says what happened; what that means is for its
// caller to judge.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/gobwas/ws"
)

// Target says where an upstream is and how it is to be asked.
type Target struct {
	Network string // "tcp" or "unix"
	Address string // as package net takes it
	URL     string // what is asked for: a ws URL, also where TLS is spoken
	Host    string // of the request
	Header  ws.HandshakeHeader
	TLS     func() *tls.Config // nil means no TLS

	DialTimeout      time.Duration // name, TCP and TLS
	HandshakeTimeout time.Duration // the upstream's answer
	PingTimeout      time.Duration // the pong
	MaxHeaderSize    int           // of the answer
}

// Result is what became of a probe whose upgrade came through.
type Result struct {
	Upgraded time.Duration // how long dialling and the upgrade took
	Answered time.Duration // how long the pong took
	Silent   bool          // there was no pong within PingTimeout
}

// A Step is one of those that a probe takes.
type Step uint8

const (
	Dial      Step = iota // the connection, name resolution included
	SecureTLS             // the TLS handshake; what it has failed by may come later, with Upgrade
	Upgrade               // the request and the answer to it
	Ping                  // the ping and the answer to it
)

// A Failure says in which step a probe has failed, and how.
type Failure struct {
	Step   Step
	Status int // of an answer that is no 101; 0 if it was not that
	Err    error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Try upgrades to the upstream and pings it. An upstream that does not answer the
// ping is not an error, since some never do; one that ends the session is. Its errors
// are Failures.
func Try(t Target) (Result, error) {
	var r Result
	began := time.Now()
	conn, incoming, err := t.upgrade()
	if err != nil {
		return r, err
	}
	defer conn.Close()
	r.Upgraded = time.Since(began)

	pinged := time.Now()
	if err := conn.SetDeadline(pinged.Add(t.PingTimeout)); err != nil {
		return r, &Failure{Step: Ping, Err: err}
	}
	err = ping(conn, incoming)
	r.Answered = time.Since(pinged)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.Silent = true
	case err != nil:
		return r, &Failure{Step: Ping, Err: err}
	}
	return r, nil
}

// upgrade returns an upgraded connection, and a reader of what the upstream has sent
// and will send.
func (t Target) upgrade() (net.Conn, io.Reader, error) {
	conn, err := t.dial()
	if err != nil {
		return nil, nil, err
	}
	incoming, err := t.ask(conn)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, incoming, nil
}

// ask sends the request and reads the answer. It returns a reader of what follows that.
func (t Target) ask(conn net.Conn) (io.Reader, error) {
	u, err := url.Parse(t.URL)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(t.HandshakeTimeout))
	}
	if err != nil {
		return nil, &Failure{Step: Upgrade, Err: err}
	}
	dialer := ws.Dialer{ReadBufferSize: t.MaxHeaderSize, Host: t.Host, Header: t.Header}
	early, _, err := dialer.Upgrade(conn, u)
	var status ws.StatusError
	switch {
	case errors.As(err, &status):
		return nil, &Failure{Upgrade, int(status), err}
	case errors.Is(err, ws.ErrHandshakeBadProtocol):
		return nil, &Failure{Step: Upgrade, Err: errors.New("it answered in a version of HTTP that has no upgrade, such as 1.0")}
	case err != nil:
		return nil, &Failure{Step: Upgrade, Err: err}
	case early != nil:
		return early, nil
	}
	return conn, nil
}

// dial connects to the upstream, with TLS if that is spoken there.
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
		return nil, &Failure{Step: Dial, Err: errors.New("nobody listens there: the connection reached itself")}
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

// reachedItself reports whether the kernel has made a connection of a socket with
// itself, as it does if it chooses the port that is dialled for the near end too.
func reachedItself(conn net.Conn) bool {
	return conn.LocalAddr().String() == conn.RemoteAddr().String()
}

// ping sends a ping and, once its answer is there, a Close, so that the service
// does not log a connection lost.
func ping(conn io.Writer, incoming io.Reader) error {
	payload := make([]byte, 4)
	rand.Read(payload)
	if err := send(conn, ws.NewPingFrame(payload)); err != nil {
		return fmt.Errorf("cannot ping: %w", err)
	}
	if err := awaitPong(incoming, payload); err != nil {
		return err
	}
	// The answer is in hand; whether the farewell arrives changes nothing.
	_ = send(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	return nil
}

// send writes a frame as a client must (RFC 6455, section 5.3): masked with an
// unpredictable key.
func send(w io.Writer, frame ws.Frame) error {
	var key [4]byte
	rand.Read(key[:])
	return ws.WriteFrame(w, ws.MaskFrameWith(frame, key))
}

// awaitPong reads past everything but the pong with this payload, and a Close.
func awaitPong(r io.Reader, payload []byte) error {
	for {
		head, err := ws.ReadHeader(r)
		if err != nil {
			return noPong(err)
		}
		if head.OpCode == ws.OpClose {
			return errors.New("it sent a Close instead of answering a ping")
		}
		var body bytes.Buffer
		into := io.Discard
		if head.OpCode == ws.OpPong && head.Length == int64(len(payload)) {
			into = &body
		}
		if _, err := io.CopyN(into, r, head.Length); err != nil {
			return noPong(err)
		}
		if bytes.Equal(body.Bytes(), payload) {
			return nil
		}
	}
}

func noPong(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ended the connection instead of answering a ping")
	}
	return fmt.Errorf("no answer to a ping: %w", err)
}

// Rounded keeps the digits of d that mean something to a reader.
func Rounded(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
