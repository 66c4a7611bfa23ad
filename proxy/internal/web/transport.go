package web

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"holdfast/proxy/internal/upgrade"
)

// continueTimeout is how long a body waits for the upstream's 100 (RFC 9110 10.1.1). Many
// upstreams know no Expect and never send one.
const continueTimeout = time.Second

// A transport makes the connection for a request and lets net/http speak on it. net/http
// would go on dialling after the request has ended, for a next one.
type transport struct{ *passage }

// newTransport makes the net/http part of all transports. maxHeader is how many bytes an
// answer's head may have.
func newTransport(maxHeader int) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // the environment's proxy is for others
		DialContext:            handedOver,
		DialTLSContext:         handedOver,
		DisableCompression:     true, // bodies pass as they are
		DisableKeepAlives:      true, // what an upstream sends behind its answer must reach nobody else
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: 2 * int64(maxHeader), // see heads, which keeps to the size, and writes short lines longer
		Protocols:              onlyHTTP1(),
	}
}

// RoundTrip is an http.RoundTripper's.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	conn, origin, err := t.upstream.Dial(r.Context())
	t.origin = origin
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper must; the client's connection stays
		}
		return nil, err
	}
	t.progress.start()
	h := new(handover)
	r = r.WithContext(context.WithValue(r.Context(), handoverKey{}, h))
	r.Header = maps.Clone(r.Header)
	t.address(r)
	h.conn = t.server.readsHeads(t.first.on(moving{conn, &t.progress}, r.Method), t.reply.spells)
	defer h.withdraw()
	t.spelling.respellRequest(r.Header)
	return t.server.transport.RoundTrip(r)
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
}

func (u *Undialled) Error() string { return u.Err.Error() }
func (u *Undialled) Unwrap() error { return u.Err }
