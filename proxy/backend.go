package proxy

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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/socket"
)

// A backend is the service behind the proxy: where it is, and what has been
// learnt about it. It is shared by all loops and those beside them.
type backend struct {
	// Static.
	name   string // for logs and metrics: scheme and authority
	host   string // a name or an address literal; of no meaning for a unix socket
	port   uint16
	prefix string             // put before every request's path; no slash at its end
	tls    func() *tls.Config // for the next connection; nil for plain ones

	options     socket.Options
	dialTimeout time.Duration
	clock       func() heartbeat.Time
	log         *slog.Logger

	ended      context.Context // done when the server has shut down
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
	find    func(ctx context.Context, host string) ([]netip.Addr, error)
}

func newBackend(ended context.Context, cfg *Config, clock func() heartbeat.Time) (*backend, error) {
	b := &backend{
		options:     cfg.socketOptions(),
		dialTimeout: cfg.DialTimeout,
		clock:       clock,
		log:         cfg.Log,
		ended:       ended,
		probeEvery:  probeInterval,
		find:        systemResolver,
	}
	if err := b.locate(cfg.Upstream); err != nil {
		return nil, err
	}
	if cfg.Upstream.Scheme == "wss" || cfg.Upstream.Scheme == "https" {
		if b.tls = cfg.UpstreamTLS; b.tls == nil {
			return nil, fmt.Errorf("upstream %q: it is to have TLS, but UpstreamTLS is not set", cfg.Upstream.Redacted())
		}
	}
	b.gauges = cfg.Metrics.Upstream(b.name)
	b.gauges.SetUp(true) // until a dial fails
	return b, nil
}

// locate reads where the service is.
func (b *backend) locate(u *url.URL) error {
	if u.Scheme == "unix" {
		if len(u.Path) > socket.MaxPath {
			return fmt.Errorf("upstream unix:%s: the path of a socket may have %d bytes", u.Path, socket.MaxPath)
		}
		b.name = unixScheme + u.Path
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
	b.prefix = strings.TrimRight(u.EscapedPath(), "/")
	if addr, err := netip.ParseAddr(b.host); err == nil {
		b.addrs = []socket.Endpoint{{AddrPort: netip.AddrPortFrom(addr.Unmap(), b.port)}}
		b.freshTo = heartbeat.Never
	}
	return nil
}

var defaultPorts = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}

// Name is what logs and metrics call the backend: its scheme and authority.
func (b *backend) Name() string { return b.name }

// Prefix is put before every request's path. It has no slash at its end.
func (b *backend) Prefix() string { return b.prefix }

// Authority is the backend's name in a URL: host and port.
func (b *backend) Authority() string {
	if b.host == "" {
		return "localhost"
	}
	return net.JoinHostPort(b.host, strconv.Itoa(int(b.port)))
}

// WantsTLS reports whether connections to the backend are to have TLS.
func (b *backend) WantsTLS() bool { return b.tls != nil }

// TLS is the configuration for the next connection, which must want TLS.
func (b *backend) TLS() *tls.Config { return b.tls() }

// AnswersPings reports whether the backend has ever answered a ping of ours.
func (b *backend) AnswersPings() bool { return b.answersPings.Load() }

// NoteAnswer notes that the backend has answered a ping of ours.
func (b *backend) NoteAnswer() {
	if !b.answersPings.Load() && b.answersPings.CompareAndSwap(false, true) {
		b.log.Info("upstream answers pings: its keepalive deadline holds from now on", "upstream", b.name)
	}
}

// Sessions changes the number of sessions that are open to the backend.
func (b *backend) Sessions(delta int) { b.gauges.Sessions(delta) }
