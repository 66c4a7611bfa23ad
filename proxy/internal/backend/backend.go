package backend

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/socket"
)

// A Backend is one upstream: where it is, and the targets that its name leads to. It may
// be used by any goroutine.
type Backend struct {
	// Static.
	pool     *Pool
	upstream Upstream
	name     string // scheme and authority
	host     string // a name or an address literal; empty for a unix socket
	port     uint16
	prefix   string             // the path of its URL
	tls      func() *tls.Config // nil for plain connections
	counts   *metrics.UpstreamCounts

	unasked atomic.Bool // it has answered with a subprotocol that was not asked for

	lookup lookup

	mu      sync.Mutex // guards the fields below
	drained bool       // an operator has taken it out of use, with the addresses to come
	apart   []string   // the addresses of which an operator has said the opposite; they may leave and come back
	targets []*Target  // those that the name leads to, by address
	leaving []*Target  // those that it leads to no more, and that may have sessions
}

// newBackend returns a Backend of p.
func newBackend(p *Pool, upstream Upstream) (*Backend, error) {
	b := &Backend{pool: p, upstream: upstream}
	at, err := b.locate(upstream.URL)
	if err != nil {
		return nil, err
	}
	if upstream.URL.Scheme == "wss" || upstream.URL.Scheme == "https" {
		if b.tls = upstream.TLS; b.tls == nil {
			return nil, fmt.Errorf("upstream %q: its TLS is not set, but the scheme needs it", upstream.URL.Redacted())
		}
	}
	b.counts = p.cfg.Metrics.Upstream(b.name)
	b.lookup.freshTo.Store(int64(heartbeat.Never))
	b.lookup.oldFrom.Store(int64(heartbeat.Never))
	if b.named() {
		b.lookup.freshTo.Store(0)
		b.lookup.oldFrom.Store(0)
	} else {
		b.targets = []*Target{newTarget(b, at)}
	}
	return b, nil
}

// unixScheme is the scheme of a unix socket's URL, and the beginning of its name.
const unixScheme = "unix"

// locate sets where the service is, from its URL. at is its only address, if the URL has
// an address and not a name.
func (b *Backend) locate(u *url.URL) (at socket.Endpoint, err error) {
	if u.Scheme == unixScheme {
		if len(u.Path) > socket.MaxPath {
			return at, fmt.Errorf("upstream unix:%s: the path of a unix socket may have at most %d bytes", u.Path, socket.MaxPath)
		}
		b.name = unixScheme + ":" + u.Path
		return socket.Endpoint{Path: u.Path}, nil
	}
	port := cmp.Or(u.Port(), defaultPorts[u.Scheme])
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return at, fmt.Errorf("upstream %q: port %q is not a number from 1 to 65535", u.Redacted(), port)
	}
	b.name = u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
	b.host = u.Hostname()
	b.port = uint16(number)
	b.prefix = u.EscapedPath()
	if addr, err := netip.ParseAddr(b.host); err == nil {
		at.AddrPort = netip.AddrPortFrom(addr.Unmap(), b.port)
	}
	return at, nil
}

var defaultPorts = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}

// named reports whether the backend has a name, which must be looked up.
func (b *Backend) named() bool {
	_, err := netip.ParseAddr(b.host)
	return b.host != "" && err != nil
}

// bareName returns the backend's name without its scheme.
func (b *Backend) bareName() string {
	return strings.TrimPrefix(strings.TrimPrefix(b.name, b.upstream.URL.Scheme+":"), "//")
}

// authority returns the host and port of the backend's URL, or "localhost" for a unix
// socket.
func (b *Backend) authority() string {
	if b.host == "" {
		return "localhost"
	}
	return net.JoinHostPort(b.host, strconv.Itoa(int(b.port)))
}

// noteUnasked records that the backend has answered with a subprotocol that the client did
// not ask for. The subprotocol is not logged, since some clients send a secret in its
// place and some backends repeat that.
func (b *Backend) noteUnasked() {
	if !b.unasked.Load() && b.unasked.CompareAndSwap(false, true) {
		b.pool.cfg.Log.Warn("upstream answers with a subprotocol that its client did not ask for: it is passed on, and some clients refuse it", "upstream", b.name)
	}
}

// watch begins to check the backend's targets, and to look its name up.
func (b *Backend) watch() {
	if b.named() {
		b.pool.cfg.Beside(b.lookAgain)
	}
	for _, t := range b.all() {
		t.watch()
	}
}

// all returns the targets that the backend's name leads to.
func (b *Backend) all() []*Target {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.targets)
}

// inUse returns the targets that requests may go to. A name often has addresses of both
// families although the service listens on one, as localhost has. So while addresses of
// one family work, those of the other are not in use that have never worked.
func (b *Backend) inUse() []*Target { return inUse(b.all()) }

// inUse removes those that are not in use from all targets of a backend.
func inUse(all []*Target) []*Target {
	works := func(v6 bool) bool {
		return slices.ContainsFunc(all, func(t *Target) bool { return t.Up() && t.reached.Load() && t.isV6() == v6 })
	}
	v4, v6 := works(false), works(true) // once: a name may have thousands of addresses
	if v4 == v6 {
		return all
	}
	return slices.DeleteFunc(all, func(t *Target) bool { return !t.reached.Load() && t.isV6() != v6 })
}

func (t *Target) isV6() bool { return t.at.AddrPort.Addr().Is6() }

// leavers returns the targets that the backend's name leads to no more, and that have
// sessions.
func (b *Backend) leavers() []*Target {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.stillLeaving())
}

// shown returns the targets in use, and after them those that leave. No target is there
// twice, not even while an answer is put to use. absent is the status of the backend itself
// if its name leads to no address, and else nil.
func (b *Backend) shown() (all []*Target, absent *Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.targets) == 0 {
		absent = &Status{Upstream: b.name, Draining: b.drained, Reason: b.lookup.state()}
	}
	return append(inUse(slices.Clone(b.targets)), b.stillLeaving()...), absent
}

// statuses returns the status of every target that is shown, or that of the backend itself
// if there is none. It does not hold mu while it asks the targets: a target that comes up
// holds a lock of its own and wants mu.
func (b *Backend) statuses() (all []Status) {
	targets, absent := b.shown()
	for _, t := range targets {
		s := t.status()
		if absent != nil {
			s.Reason = absent.Reason
		}
		all = append(all, s)
	}
	if all == nil {
		all = append(all, *absent)
	}
	return all
}

// stillLeaving forgets the targets that have left, and returns the others that leave. The
// caller holds mu.
func (b *Backend) stillLeaving() []*Target {
	b.leaving = slices.DeleteFunc(b.leaving, func(t *Target) bool { return t.load.Load() == 0 })
	return b.leaving
}

// sum returns how many handshakes and sessions the backend's targets count, and how many of
// them are sessions.
func (b *Backend) sum() (load, sessions int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, targets := range [...][]*Target{b.targets, b.leaving} {
		for _, t := range targets {
			load += int(t.load.Load())
			sessions += int(t.sessions.Load())
		}
	}
	return load, sessions
}

// setTargets makes the addresses of an answer the backend's targets, and returns those
// that are new, or that have come back: their checks have ended meanwhile.
func (b *Backend) setTargets(addrs []netip.Addr) (fresh []*Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := append(b.targets, b.leaving...)
	b.targets, b.leaving = nil, nil
	for _, addr := range addrs {
		at := socket.Endpoint{AddrPort: netip.AddrPortFrom(addr.Unmap(), b.port)}
		has := func(t *Target) bool { return t.at == at }
		if slices.ContainsFunc(b.targets, has) {
			continue
		}
		if i := slices.IndexFunc(known, has); i >= 0 {
			if known[i].gone.Swap(false) {
				fresh = append(fresh, known[i])
			}
			b.targets = append(b.targets, known[i])
			continue
		}
		t := newTarget(b, at)
		fresh = append(fresh, t)
		b.targets = append(b.targets, t)
	}
	slices.SortFunc(b.targets, func(a, b *Target) int { return a.at.AddrPort.Compare(b.at.AddrPort) })
	for _, t := range known {
		if !slices.Contains(b.targets, t) {
			t.gone.Store(true)
			b.leaving = append(b.leaving, t)
		}
	}
	return fresh
}

// has reports whether the backend has a target with that address, or has had one that an
// operator has taken out of use.
func (b *Backend) has(address string) bool {
	if slices.ContainsFunc(append(b.all(), b.leavers()...), func(t *Target) bool { return t.address == address }) {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.apart, address)
}

// isDrained reports whether an operator has taken that address out of use. The caller holds
// mu, or is the only one that has b.
func (b *Backend) isDrained(address string) bool {
	return b.drained != slices.Contains(b.apart, address)
}

// noteDrained records what an operator has said of an address, or of all. Targets that come
// later need it.
func (b *Backend) noteDrained(address string, drained bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if address == "" {
		b.drained, b.apart = drained, nil
		return
	}
	b.apart = slices.DeleteFunc(b.apart, func(a string) bool { return a == address })
	if drained != b.drained {
		b.apart = append(b.apart, address)
	}
}

// setDrained takes the backend's targets out of use, or back into it, and returns them.
// See Pool.SetDrained.
func (b *Backend) setDrained(address string, drained bool) (all []*Target) {
	b.noteDrained(address, drained)
	for _, t := range append(b.all(), b.leavers()...) {
		if address != "" && t.address != address {
			continue
		}
		if t.drained.Swap(drained) && !drained {
			t.rises()
		}
		all = append(all, t)
	}
	return all
}
