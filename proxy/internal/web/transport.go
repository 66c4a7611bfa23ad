package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"holdfast/proxy/internal/upgrade"
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

// A transport makes the connection for a request and lets net/http speak on it. net/http
// would go on dialling after the request has ended, for a next one.
type transport struct {
	server *Server
	dial   func(context.Context) (net.Conn, error)
}

// newTransport makes the net/http part of all transports. maxHeader is how many bytes an
// answer's head may have.
func newTransport(maxHeader int) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // the environment's proxy is for others
		DialContext:            handedOver,
		DialTLSContext:         handedOver,
		DisableCompression:     true, // bodies pass as they are
		DisableKeepAlives:      true, // what an upstream sends behind its answer must reach nobody else
		ResponseHeaderTimeout:  answerTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: 2 * int64(maxHeader), // see heads, which keeps to the size, and writes short lines longer
		Protocols:              onlyHTTP1(),
	}
}

// RoundTrip is an http.RoundTripper's.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	conn, err := t.dial(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper must; the client's connection stays
		}
		return nil, err
	}
	h := &handover{conn: t.server.readsHeads(steady{conn, t.server.cfg.WriteTimeout})}
	defer h.withdraw()
	return t.server.transport.RoundTrip(r.WithContext(context.WithValue(r.Context(), handoverKey{}, h)))
}

// A handover is a connection on its way to net/http. A goroutine of net/http's takes it,
// or none does if the request ends before.
type handover struct {
	mu   sync.Mutex
	conn net.Conn // nil once it has been taken
}

type handoverKey struct{}

var errWithdrawn = errors.New("the request has ended")

// handedOver is what net/http takes for dialling.
func handedOver(ctx context.Context, _, _ string) (net.Conn, error) {
	conn := ctx.Value(handoverKey{}).(*handover).take()
	if conn == nil {
		return nil, errWithdrawn
	}
	return conn, nil
}

func (h *handover) take() net.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	conn := h.conn
	h.conn = nil
	return conn
}

// withdraw closes a connection that has not been taken.
func (h *handover) withdraw() {
	if conn := h.take(); conn != nil {
		conn.Close()
	}
}

// Undialled is the error of an Upstream.Dial that says what the client is told.
type Undialled struct {
	Err     error
	Refusal *upgrade.Refusal
	Known   bool // the log has said already that the service is down
}

func (u *Undialled) Error() string { return u.Err.Error() }
func (u *Undialled) Unwrap() error { return u.Err }

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
