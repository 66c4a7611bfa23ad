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

// Config configures a Backend. A field is required unless its comment says otherwise.
type Config struct {
	// URL is where the service is: a URL of scheme ws, http, wss or https with a host and
	// an optional path, which is put before the path of every request; or a URL of scheme
	// unix whose path is the path of a socket.
	URL *url.URL
	// TLS returns the configuration for the next connection. It is required for the
	// schemes wss and https, and is not used for the others.
	TLS func() *tls.Config
	// Find looks up the addresses of a host; nil means the system's resolver.
	Find func(ctx context.Context, host string) ([]netip.Addr, error)
	// Options are set on every TCP connection.
	Options socket.Options
	// DialTimeout bounds a lookup, and all of a Connect.
	DialTimeout time.Duration
	Health      Health

	Clock   func() heartbeat.Time
	Beside  func(job func())                  // runs a job that may block
	After   func(d time.Duration, job func()) // runs a job that may block, such as a check, after some time
	Log     *slog.Logger
	Metrics *metrics.Metrics
}

// A Backend is the service behind the proxy: where it is, and what is known about it. It
// may be used by any goroutine.
type Backend struct {
	// Static.
	cfg    Config
	name   string // scheme and authority
	host   string // a name or an address literal; empty for a unix socket
	port   uint16
	prefix string             // the path of its URL
	tls    func() *tls.Config // nil for plain connections

	ended  context.Context // done when the proxy shuts down
	gauges *metrics.AddressGauges

	answersPings atomic.Bool // it has answered a ping of ours
	unasked      atomic.Bool // it has answered with a subprotocol that was not asked for
	state        state
	failures     failures

	// The addresses of host, guarded by mu.
	mu      sync.Mutex
	addrs   []socket.Endpoint
	freshTo heartbeat.Time
	waiting *list.List // of func([]socket.Endpoint, error): what the lookup under way calls; nil without a lookup
}

// New returns a Backend. Its lookups and checks end when ended is done. Watch begins the
// checks.
func New(ended context.Context, cfg Config) (*Backend, error) {
	if cfg.Find == nil {
		cfg.Find = systemResolver
	}
	b := &Backend{cfg: cfg, ended: ended}
	if err := b.locate(cfg.URL); err != nil {
		return nil, err
	}
	if cfg.URL.Scheme == "wss" || cfg.URL.Scheme == "https" {
		if b.tls = cfg.TLS; b.tls == nil {
			return nil, fmt.Errorf("upstream %q: UpstreamTLS is not set, but the scheme needs it", cfg.URL.Redacted())
		}
	}
	b.gauges = cfg.Metrics.Upstream(b.name).Address(b.host)
	b.setUp(cfg.Health.Interval < 0) // Watch is not called yet, so this needs no lock
	return b, nil
}

// unixScheme is the scheme of a unix socket's URL, and the beginning of its name.
const unixScheme = "unix"

// locate sets where the service is, from its URL.
func (b *Backend) locate(u *url.URL) error {
	if u.Scheme == unixScheme {
		if len(u.Path) > socket.MaxPath {
			return fmt.Errorf("upstream unix:%s: the path of a unix socket may have at most %d bytes", u.Path, socket.MaxPath)
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

// Name returns the backend's name in the log and the metrics: its scheme and authority.
func (b *Backend) Name() string { return b.name }

// Prefix returns the path that is put before the path of every request, as the backend's
// URL has it: see upgrade.AppendTarget.
func (b *Backend) Prefix() string { return b.prefix }

// Authority returns the host and port of the backend's URL, or "localhost" for a unix
// socket.
func (b *Backend) Authority() string {
	if b.host == "" {
		return "localhost"
	}
	return net.JoinHostPort(b.host, strconv.Itoa(int(b.port)))
}

// WantsTLS reports whether connections to the backend use TLS.
func (b *Backend) WantsTLS() bool { return b.tls != nil }

// TLS returns the configuration for the next connection. WantsTLS must be true.
func (b *Backend) TLS() *tls.Config { return b.tls() }

// AnswersPings reports whether the backend has ever answered a ping of ours.
func (b *Backend) AnswersPings() bool { return b.answersPings.Load() }

// NoteAnswer records that the backend has answered a ping of ours.
func (b *Backend) NoteAnswer() {
	if !b.answersPings.Load() && b.answersPings.CompareAndSwap(false, true) {
		b.cfg.Log.Info("upstream answers pings: its keepalive deadline applies from now on", "upstream", b.name)
	}
}

// NoteUnasked records that the backend has answered with a subprotocol that the client did
// not ask for. The subprotocol is not logged, since some clients send a secret in its
// place and some backends repeat that.
func (b *Backend) NoteUnasked() {
	if !b.unasked.Load() && b.unasked.CompareAndSwap(false, true) {
		b.cfg.Log.Warn("upstream answers with a subprotocol that its client did not ask for: it is passed on, and some clients refuse it", "upstream", b.name)
	}
}

// Sessions adds delta to the number of sessions that are open to the backend.
func (b *Backend) Sessions(delta int) { b.gauges.Sessions(delta) }
