package backend

import (
	"cmp"
	"container/list"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/socket"
)

// Config is what a Backend is told. What is not said to be optional must be there.
type Config struct {
	// URL is where the service is: scheme ws, http, wss or https, a host, and an
	// optional path that is put before every request's own; or scheme unix and, as
	// its path, a socket's.
	URL *url.URL
	// TLS gives the configuration for the next connection. It is needed for the
	// schemes wss and https, and not asked for the others.
	TLS func() *tls.Config
	// Find finds the addresses of a host; nil means as the system does.
	Find func(ctx context.Context, host string) ([]netip.Addr, error)
	// Options are set on every TCP connection.
	Options socket.Options
	// DialTimeout bounds a lookup, and all of a Connect.
	DialTimeout time.Duration

	Clock   func() heartbeat.Time
	Beside  func(job func()) // runs a job that may block
	Log     *slog.Logger
	Metrics *metrics.Metrics
}

// A Backend is the service behind the proxy: where it is, and what has been
// learnt about it. It may be used by any goroutine.
type Backend struct {
	// Static.
	cfg    Config
	name   string // scheme and authority
	host   string // a name or an address literal; of no meaning for a unix socket
	port   uint16
	prefix string             // the path of its URL
	tls    func() *tls.Config // nil for plain connections

	ended      context.Context // done when the proxy has shut down
	probeEvery time.Duration

	answersPings atomic.Bool // a matching pong was seen once
	down         atomic.Bool // the last dial failed, and none has worked since
	probing      atomic.Bool // probe is under way
	gauges       *metrics.UpstreamGauges

	failures failures

	// The addresses of host, guarded by mu.
	mu      sync.Mutex
	addrs   []socket.Endpoint
	freshTo heartbeat.Time
	waiting *list.List // of func([]socket.Endpoint, error), for the lookup under way; nil if there is none
}

// New makes a Backend. Its lookups and probes end with ended.
func New(ended context.Context, cfg Config) (*Backend, error) {
	if cfg.Find == nil {
		cfg.Find = systemResolver
	}
	b := &Backend{cfg: cfg, ended: ended, probeEvery: probeInterval}
	if err := b.locate(cfg.URL); err != nil {
		return nil, err
	}
	if cfg.URL.Scheme == "wss" || cfg.URL.Scheme == "https" {
		if b.tls = cfg.TLS; b.tls == nil {
			return nil, fmt.Errorf("upstream %q: it is to have TLS, but UpstreamTLS is not set", cfg.URL.Redacted())
		}
	}
	b.gauges = cfg.Metrics.Upstream(b.name)
	b.gauges.SetUp(true) // until a dial fails
	return b, nil
}

// unixScheme is what the path of a unix socket is marked with.
const unixScheme = "unix"

// locate reads where the service is.
func (b *Backend) locate(u *url.URL) error {
	if u.Scheme == unixScheme {
		if len(u.Path) > socket.MaxPath {
			return fmt.Errorf("upstream unix:%s: the path of a socket may have %d bytes", u.Path, socket.MaxPath)
		}
		b.name = unixScheme + ":" + u.Path
		b.addrs = []socket.Endpoint{{Path: u.Path}}
		b.freshTo = heartbeat.Never
		return nil
	}
	port := cmp.Or(u.Port(), defaultPorts[u.Scheme])
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("upstream %q: port %q is not a number from 1 to 65535", u.Redacted(), port)
	}
	b.name = u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
	b.host = u.Hostname()
	b.port = uint16(number)
	b.prefix = u.EscapedPath()
	if addr, err := netip.ParseAddr(b.host); err == nil {
		b.addrs = []socket.Endpoint{{AddrPort: netip.AddrPortFrom(addr.Unmap(), b.port)}}
		b.freshTo = heartbeat.Never
	}
	return nil
}

var defaultPorts = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}

// Name is what logs and metrics call the backend: its scheme and authority.
func (b *Backend) Name() string { return b.name }

// Prefix is put before every request's path. It has no slash at its end.
func (b *Backend) Prefix() string { return b.prefix }

// Authority is the backend's name in a URL: host and port.
func (b *Backend) Authority() string {
	if b.host == "" {
		return "localhost"
	}
	return net.JoinHostPort(b.host, strconv.Itoa(int(b.port)))
}

// WantsTLS reports whether connections to the backend are to have TLS.
func (b *Backend) WantsTLS() bool { return b.tls != nil }

// TLS is the configuration for the next connection, which must want TLS.
func (b *Backend) TLS() *tls.Config { return b.tls() }

// AnswersPings reports whether the backend has ever answered a ping of ours.
func (b *Backend) AnswersPings() bool { return b.answersPings.Load() }

// NoteAnswer notes that the backend has answered a ping of ours.
func (b *Backend) NoteAnswer() {
	if !b.answersPings.Load() && b.answersPings.CompareAndSwap(false, true) {
		b.cfg.Log.Info("upstream answers pings: its keepalive deadline holds from now on", "upstream", b.name)
	}
}

// Sessions changes the number of sessions that are open to the backend.
func (b *Backend) Sessions(delta int) { b.gauges.Sessions(delta) }
