// Package probe tests an upstream: it opens a WebSocket connection as a client would, sends
// heartbeats, and closes the connection.
//
// The path through it: Addresses looks the upstream's name up (addresses.go), and the caller
// tries each address. Try dials (Target.dial), upgrades (Target.ask, in upgrade.go), pings and
// sends the application's heartbeat (conversation.go). It returns what happened. Get makes a plain request, as the proxy's checks do
// (health.go). The caller decides what that means.
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

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
	PingTimeout      time.Duration // the pong; the answer to AppPing
	MaxHeaderSize    int           // of the answer
	MaxFrameSize     int64         // of a data frame; 0 means any
	MaxMessageSize   int64         // of a message; 0 means any

	AppPing string            // the application's heartbeat; empty means none
	AppPong *proxy.AppPattern // the answers to it; nil means none

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

	AppAnswered time.Duration // how long the answer to the application's heartbeat took
	AppSilent   bool          // there was none within PingTimeout
	LivedOn     bool          // a ping behind a heartbeat that wants no answer was answered
}

// A Step is a step of a probe.
type Step uint8

const (
	Dial      Step = iota // the connection, name resolution included
	SecureTLS             // the TLS handshake; an upstream may refuse it later, during Upgrade
	Upgrade               // the request and the answer to it
	Ping                  // the ping and the answer to it
	AppPing               // the application's heartbeat and the answer to it
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

// Try opens a session with the upstream, pings it, and sends the application's heartbeat if
// there is one. If the upstream does not answer, that is not an error, since some upstreams
// never answer. If the upstream ends the session, that is an error. Every error is a
// *Failure, and the Result has what came before it.
func Try(t Target) (Result, error) {
	var r Result
	began := time.Now()
	conn, incoming, err := t.upgrade()
	if err != nil {
		return r, t.examine(err)
	}
	defer conn.Close()
	r.Upgraded = time.Since(began)
	c := &conversation{Target: t, conn: conn, incoming: proxy.ReadUpstreamFrames(incoming, t.MaxFrameSize, t.MaxMessageSize), result: &r}
	if err := c.askForPong(); err != nil {
		return r, &Failure{Step: Ping, Err: err}
	}
	if err := c.beat(); err != nil {
		return r, &Failure{Step: AppPing, Err: err}
	}
	if err := c.leave(); err != nil {
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

// Rounded returns d without digits that are too small to matter.
func Rounded(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
