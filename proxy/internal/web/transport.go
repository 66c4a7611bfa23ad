package web

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	// answerTimeout is how long the upstream may take to begin its answer when it
	// has the whole request. A long poll is held for a minute or two, seldom
	// longer, since the balancers around give up after 60 to 100 s by default; the
	// longest known default is Consul's, five minutes and up to a sixteenth more.
	// Bodies have no such limit.
	answerTimeout = 5*time.Minute + 30*time.Second
	// continueTimeout is how long a body waits for the upstream's 100 (RFC 9110
	// 10.1.1). Many upstreams know no Expect and never send one.
	continueTimeout = time.Second
)

// newTransport speaks to the upstream.
func (s *Server) newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // the environment's proxy is for others
		DialContext:            s.readsHeads(s.dial),
		DialTLSContext:         s.readsHeads(s.dialTLS),
		DisableCompression:     true, // bodies pass as they are
		DisableKeepAlives:      true, // what an upstream sends behind its answer must reach nobody else
		ResponseHeaderTimeout:  answerTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: int64(s.cfg.MaxHeaderSize),
		Protocols:              onlyHTTP1(),
	}
}

// unreachable is a dial that failed.
type unreachable struct{ error }

func (u unreachable) Unwrap() error { return u.error }

// dial may outlive its request, since the transport hopes for the next; it ends
// with Shutdown at the latest.
func (s *Server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	conn, err := s.cfg.Dial(ctx)
	if err != nil {
		return nil, unreachable{err}
	}
	return steady{conn, s.cfg.WriteTimeout}, nil
}

func (s *Server) dialTLS(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	plain, err := s.cfg.Dial(ctx)
	if err != nil {
		return nil, unreachable{err}
	}
	conn := tls.Client(plain, s.cfg.TLS())
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, unreachable{err}
	}
	return steady{conn, s.cfg.WriteTimeout}, nil
}

// steady is a connection to an upstream that has to take what is written to it.
type steady struct {
	net.Conn
	patience time.Duration
}

func (c steady) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
