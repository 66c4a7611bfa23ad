package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"holdfast/heartbeat"
)

// check validates the configuration; with -connect it also makes one session
// with the upstream.
func check(p process, args []string) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	tryUpstream := flags.Bool("connect", false, "")
	if code, ok := p.parse(flags, args); !ok {
		return code
	}
	c, loaded, ok := p.configuration()
	if !ok {
		return exitConfig
	}
	for _, warning := range c.warnings() {
		fmt.Fprintln(p.stderr, "warning:", warning)
	}
	for _, warning := range loaded.warnings() {
		fmt.Fprintln(p.stderr, "warning:", warning)
	}
	fmt.Fprintln(p.stdout, "configuration ok")
	if !*tryUpstream {
		return exitOK
	}
	verdict, err := c.tryUpstream(&loaded)
	if err != nil {
		fmt.Fprintf(p.stderr, "%s: %v\n", c.Upstream, err)
		return exitFailed
	}
	fmt.Fprintf(p.stdout, "%s: %s\n", c.Upstream, verdict)
	return exitOK
}

// tryUpstream upgrades to the upstream as a client that asks for / would be, and
// pings it. That it never answers is an error only if it would be dropped for it.
func (c config) tryUpstream(loaded *certificates) (verdict string, err error) {
	began := time.Now()
	conn, early, err := c.upgradeToUpstream(loaded)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	upgraded := time.Since(began)

	patience := c.UpstreamPingTimeout
	if patience == 0 {
		patience = time.Duration(c.HandshakeTimeout)
	}
	pinged := time.Now()
	if err := conn.SetDeadline(pinged.Add(patience)); err != nil {
		return "", err
	}
	err = ping(conn, early)
	answered := time.Since(pinged)
	verdict = fmt.Sprintf("upgraded in %v", rounded(upgraded))
	switch {
	case err == nil:
		return fmt.Sprintf("%s, answered a ping in %v", verdict, rounded(answered)), nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("%s, then: %w", verdict, err)
	}
	verdict = fmt.Sprintf("%s, did not answer a ping within %v", verdict, patience)
	if c.UpstreamPong == heartbeat.RequirePong && c.UpstreamPingInterval > 0 && c.UpstreamPingTimeout > 0 {
		return "", fmt.Errorf("%s; HOLDFAST_UPSTREAM_PONG=require would drop its sessions", verdict)
	}
	return verdict + ", and will not be held to it", nil
}

// upgradeToUpstream returns an upgraded connection, and a reader of what it has
// sent and will send.
func (c config) upgradeToUpstream(loaded *certificates) (net.Conn, io.Reader, error) {
	dialer := ws.Dialer{
		NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.dialUpstream(ctx, loaded)
		},
		Timeout:        time.Duration(c.DialTimeout + c.HandshakeTimeout),
		ReadBufferSize: int(c.MaxHeaderSize),
		Host:           cmp.Or(c.upstreamHost(), hostOf(c.Upstream)),
		Header:         c.UpstreamHeaders,
	}
	conn, early, _, err := dialer.Dial(context.Background(), probeURL(c.Upstream))
	var status ws.StatusError
	switch {
	case errors.As(err, &status):
		return nil, nil, fmt.Errorf("refused the upgrade with HTTP status %d", int(status))
	case err != nil:
		return nil, nil, fmt.Errorf("cannot upgrade: %w", err)
	case early != nil:
		return conn, early, nil
	}
	return conn, conn, nil
}

// dialUpstream connects to the upstream, and has TLS with it if it is to.
func (c config) dialUpstream(ctx context.Context, loaded *certificates) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.DialTimeout))
	defer cancel()
	network, address := dialAddress(c.Upstream)
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, network, address)
	switch {
	case err != nil:
		return nil, err
	case reachedItself(plain):
		plain.Close()
		return nil, errors.New("nobody listens there: the connection reached itself")
	case !c.hasUpstreamTLS():
		return plain, nil
	}
	conn := tls.Client(plain, loaded.upstreamConfig(c.Upstream))
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, err
	}
	return conn, nil
}

// reachedItself reports whether the kernel has made a connection of a socket with
// itself, as it does if it chooses the port that is dialled for the near end too.
func reachedItself(conn net.Conn) bool {
	return conn.LocalAddr().String() == conn.RemoteAddr().String()
}

// dialAddress is where an upstream is, as package net takes it.
func dialAddress(upstream *url.URL) (network, address string) {
	switch {
	case upstream.Scheme == "unix":
		return "unix", upstream.Path
	case upstream.Port() != "":
		return "tcp", upstream.Host
	case upstream.Scheme == "wss", upstream.Scheme == "https":
		return "tcp", net.JoinHostPort(upstream.Hostname(), "443")
	}
	return "tcp", net.JoinHostPort(upstream.Hostname(), "80")
}

// probeURL is what a client's request for / becomes. Its scheme is the one in which
// the dialer leaves everything to us, its host is not looked at.
func probeURL(upstream *url.URL) string {
	prefix := strings.TrimRight(upstream.EscapedPath(), "/")
	if upstream.Scheme == "unix" {
		prefix = ""
	}
	return "ws://" + hostOf(upstream) + prefix + "/"
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
			return fmt.Errorf("no answer to a ping: %w", err)
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
			return fmt.Errorf("no answer to a ping: %w", err)
		}
		if bytes.Equal(body.Bytes(), payload) {
			return nil
		}
	}
}

// rounded keeps the digits of d that mean something to a reader.
func rounded(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
