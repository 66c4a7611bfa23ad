package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
)

// An origin is the service behind the proxy: where it is, and what has been
// learnt about it. It is shared by all loops.
type origin struct {
	// Static.
	name   string // for logs and metrics: scheme and authority
	host   string // a name or an address literal
	port   uint16
	prefix string // put before every request's path; no slash at its end

	ended      context.Context // done when the server shuts down
	probeEvery time.Duration

	answersPings atomic.Bool // a matching pong was seen once
	down         atomic.Bool // the last dial failed, and no probe has worked since
	gauges       *metrics.UpstreamGauges

	// The addresses of host, guarded by mu.
	mu      sync.Mutex
	addrs   []netip.AddrPort
	freshTo heartbeat.Time
	waiting []func([]netip.AddrPort, error) // for the lookup under way
}

// addressesFresh is how long the addresses of a name are used before it is
// looked up again. Go's resolver tells no TTL; services that move, as in
// Kubernetes, do so with TTLs of 5 to 30 s.
const addressesFresh = 5 * time.Second

func newOrigin(ended context.Context, u *url.URL, m *metrics.Metrics) (*origin, error) {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("upstream %q: port %q is no number from 1 to 65535", u.Redacted(), port)
	}
	name := u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
	o := &origin{
		ended:      ended,
		probeEvery: probeInterval,
		name:       name,
		host:       u.Hostname(),
		port:       uint16(number),
		prefix:     strings.TrimRight(u.EscapedPath(), "/"),
		gauges:     m.Upstream(name),
	}
	o.gauges.SetUp(true) // until a dial fails
	if addr, err := netip.ParseAddr(o.host); err == nil {
		o.addrs = []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), o.port)}
		o.freshTo = heartbeat.Never
	}
	return o, nil
}

// known returns the addresses if they are fresh.
func (o *origin) known(now heartbeat.Time) ([]netip.AddrPort, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addrs, now < o.freshTo
}

// lookup resolves the name, once for all who wait for it, and calls then from
// some goroutine. clock is read when the answer is there.
func (o *origin) lookup(timeout time.Duration, clock func() heartbeat.Time, then func([]netip.AddrPort, error)) {
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
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), o.port))
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

// stale has the name looked up again at the next handshake.
func (o *origin) stale() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.freshTo != heartbeat.Never {
		o.freshTo = 0
	}
}

// dial is the state of a connect to one of several addresses.
type dial struct {
	addrs []netip.AddrPort // not tried yet
	by    heartbeat.Time   // when all of it must be done
	err   error            // of the last address tried
}

var (
	errUpstreamSilent = errors.New("no answer in time")
	errDialTimeout    = errors.New("no connection in time")
	errHeadTooLarge   = errors.New("response head is larger than HOLDFAST_MAX_HEADER_SIZE")
	errPortsExhausted = errors.New("no local port is left for a connection to the upstream")
)

// resolve finds the upstream's addresses and goes on to dial them.
func (l *loop) resolve(s *session) {
	o := s.opening
	o.state = resolving
	o.dialing = l.now
	o.dial.by = l.now.Add(l.cfg.DialTimeout)
	o.by = o.dial.by
	if addrs, ok := s.origin.known(l.now); ok {
		l.dial(s, addrs)
		return
	}
	s.origin.lookup(l.cfg.DialTimeout, l.clock, func(addrs []netip.AddrPort, err error) {
		l.post(func() { l.resolved(s, addrs, err) })
	})
}

// resolved goes on when a lookup has ended, if the handshake still waits for it.
func (l *loop) resolved(s *session, addrs []netip.AddrPort, err error) {
	if !l.table.holds(s) || s.opening == nil || s.opening.state != resolving {
		return
	}
	if err != nil {
		l.upstreamFailed(s, metrics.ResultUpstreamUnreachable, "resolve upstream", err)
	} else {
		l.dial(s, addrs)
	}
	l.update(s)
}

func (l *loop) dial(s *session, addrs []netip.AddrPort) {
	s.opening.dial.addrs = addrs
	s.opening.state = dialing
	l.dialNext(s)
}

// dialNext tries the next address. Each gets an even share of the time left.
func (l *loop) dialNext(s *session) {
	o, g := s.opening, &s.legs[upstream]
	for len(o.dial.addrs) > 0 {
		to := o.dial.addrs[0]
		left := o.dial.by.Sub(l.now) / time.Duration(len(o.dial.addrs))
		o.dial.addrs = o.dial.addrs[1:]
		conn, err := connect(to, l.server.options)
		if err != nil {
			o.dial.err = err
			continue
		}
		g.io = conn
		g.in, g.out = inOpen, outOpen
		o.by = l.now.Add(left)
		l.dialed(s)
		return
	}
	l.dialFailed(s, o.dial.err)
}

// dialed tries to write the request. A connection on this machine is there as
// soon as it is asked for; any other will say when it is writable, and a failed
// one says so in its first write.
func (l *loop) dialed(s *session) {
	o, g := s.opening, &s.legs[upstream]
	if o.out == nil {
		o.out = l.upstreamRequest(s)
	}
	n, err := g.io.Write(o.out)
	switch {
	case err == errAgain:
		l.want(s, upstream, epoll.Out)
	case err != nil:
		o.dial.err = os.NewSyscallError("connect", err)
		l.cut(s, upstream)
		l.dialNext(s)
	default:
		l.connected(s, n)
	}
}

// dialTimeout gives up an address, or all of them.
func (l *loop) dialTimeout(s *session) {
	o := s.opening
	o.dial.err = errDialTimeout
	l.cut(s, upstream)
	if o.state == dialing && l.now < o.dial.by && len(o.dial.addrs) > 0 {
		l.dialNext(s)
		return
	}
	l.dialFailed(s, errDialTimeout)
}

func (l *loop) dialFailed(s *session, err error) {
	s.origin.stale()
	switch {
	case err == errDialTimeout || errors.Is(err, unix.ETIMEDOUT):
		s.origin.fails(l.log, l.cfg.DialTimeout)
		l.upstreamFailed(s, metrics.ResultTimeout, "dial upstream", err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		l.upstreamFailed(s, metrics.ResultLimit, "dial upstream", errPortsExhausted)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		l.logHandshake(s, metrics.ResultLimit, "dial upstream", err)
		l.refuse(s, metrics.ResultLimit, refuseFull)
	default:
		s.origin.fails(l.log, l.cfg.DialTimeout)
		l.upstreamFailed(s, metrics.ResultUpstreamUnreachable, "dial upstream", err)
	}
}
