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
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/metrics"
)

// An origin is the service behind the proxy: where it is, and what has been
// learnt about it. It is shared by all loops and those beside them.
type origin struct {
	// Static.
	name   string // for logs and metrics: scheme and authority
	host   string // a name or an address literal; of no meaning for a unix socket
	port   uint16
	prefix string             // see prefixOf
	tls    func() *tls.Config // for the next connection; nil for plain ones

	options     socketOptions
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
	addrs   []endpoint
	freshTo heartbeat.Time
	waiting *list.List // of func([]endpoint, error), for the lookup under way; nil if there is none
	find    func(ctx context.Context, host string) ([]netip.Addr, error)
}

// endpoint is where a connection can be made to.
type endpoint struct {
	addr netip.AddrPort
	path string // of a unix socket; there is no addr then
}

func newOrigin(ended context.Context, cfg *Config, clock func() heartbeat.Time) (*origin, error) {
	o := &origin{
		options:     cfg.socketOptions(),
		dialTimeout: cfg.DialTimeout,
		clock:       clock,
		log:         cfg.Log,
		ended:       ended,
		probeEvery:  probeInterval,
		find:        systemResolver,
	}
	if err := o.locate(cfg.Upstream); err != nil {
		return nil, err
	}
	if cfg.Upstream.Scheme == "wss" || cfg.Upstream.Scheme == "https" {
		if o.tls = cfg.UpstreamTLS; o.tls == nil {
			return nil, fmt.Errorf("upstream %q: it is to have TLS, but UpstreamTLS is not set", cfg.Upstream.Redacted())
		}
	}
	o.gauges = cfg.Metrics.Upstream(o.name)
	o.gauges.SetUp(true) // until a dial fails
	return o, nil
}

// locate reads where the service is.
func (o *origin) locate(u *url.URL) error {
	if u.Scheme == "unix" {
		if room := len(unix.RawSockaddrUnix{}.Path) - 1; len(u.Path) > room {
			return fmt.Errorf("upstream unix:%s: the path of a socket may have %d bytes", u.Path, room)
		}
		o.name = unixScheme + u.Path
		o.addrs = []endpoint{{path: u.Path}}
		o.freshTo = heartbeat.Never
		return nil
	}
	port := cmp.Or(u.Port(), defaultPorts[u.Scheme])
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("upstream %q: port %q is no number from 1 to 65535", u.Redacted(), port)
	}
	o.name = u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
	o.host = u.Hostname()
	o.port = uint16(number)
	o.prefix = prefixOf(u)
	if addr, err := netip.ParseAddr(o.host); err == nil {
		o.addrs = []endpoint{{addr: netip.AddrPortFrom(addr.Unmap(), o.port)}}
		o.freshTo = heartbeat.Never
	}
	return nil
}

var defaultPorts = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}

// authority is the service's name in a URL.
func (o *origin) authority() string {
	if o.host == "" {
		return "localhost"
	}
	return net.JoinHostPort(o.host, strconv.Itoa(int(o.port)))
}
