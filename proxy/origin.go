package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
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
	prefix string             // put before every request's path; no slash at its end
	tls    func() *tls.Config // for the next connection; nil for plain ones

	options socketOptions

	ended      context.Context // done when the server shuts down
	probeEvery time.Duration

	answersPings atomic.Bool // a matching pong was seen once
	down         atomic.Bool // the last dial failed, and no probe has worked since
	probing      atomic.Bool // probe is under way
	gauges       *metrics.UpstreamGauges

	// The addresses of host, guarded by mu.
	mu      sync.Mutex
	addrs   []endpoint
	freshTo heartbeat.Time
	waiting []func([]endpoint, error) // for the lookup under way
}

// endpoint is where a connection can be made to.
type endpoint struct {
	addr netip.AddrPort
	path string // of a unix socket; there is no addr then
}

// addressesFresh is how long the addresses of a name are used before it is
// looked up again. Go's resolver tells no TTL; services that move, as in
// Kubernetes, do so with TTLs of 5 to 30 s.
const addressesFresh = 5 * time.Second

func newOrigin(ended context.Context, cfg *Config) (*origin, error) {
	o := &origin{ended: ended, probeEvery: probeInterval, options: cfg.socketOptions()}
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
	o.prefix = strings.TrimRight(u.EscapedPath(), "/")
	if addr, err := netip.ParseAddr(o.host); err == nil {
		o.addrs = []endpoint{{addr: netip.AddrPortFrom(addr.Unmap(), o.port)}}
		o.freshTo = heartbeat.Never
	}
	return nil
}

var defaultPorts = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}

// known returns the addresses if they are fresh.
func (o *origin) known(now heartbeat.Time) ([]endpoint, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addrs, now < o.freshTo
}

// lookup resolves the name, once for all who wait for it, and calls then from
// some goroutine. clock is read when the answer is there.
func (o *origin) lookup(timeout time.Duration, clock func() heartbeat.Time, then func([]endpoint, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, then)
	if len(o.waiting) == 1 {
		go o.resolve(timeout, clock)
	}
}

func (o *origin) resolve(timeout time.Duration, clock func() heartbeat.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", o.host)
	addrs := make([]endpoint, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, endpoint{addr: netip.AddrPortFrom(ip.Unmap(), o.port)})
	}
	o.mu.Lock()
	if err == nil {
		o.addrs, o.freshTo = addrs, clock().Add(addressesFresh)
	}
	waiting := o.waiting
	o.waiting = nil
	o.mu.Unlock()
	for _, then := range waiting {
		then(addrs, err)
	}
}

// authority is the service's name in a URL.
func (o *origin) authority() string {
	if o.host == "" {
		return "localhost"
	}
	return net.JoinHostPort(o.host, strconv.Itoa(int(o.port)))
}

// connect is for those beside the loops, who may block.
func (o *origin) connect(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Control: o.options.control}
	d.SetMultipathTCP(false) // as for sessions
	if o.host == "" {
		return d.DialContext(ctx, "unix", o.addrs[0].path)
	}
	return d.DialContext(ctx, "tcp", o.authority())
}

// stale has the name looked up again at the next handshake.
func (o *origin) stale() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.freshTo != heartbeat.Never {
		o.freshTo = 0
	}
}
