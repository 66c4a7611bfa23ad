package backend

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/socket"
)

// Config configures a Pool. A field is required unless its comment says otherwise.
type Config struct {
	Upstreams []Upstream
	Balance   Balance
	// SlowStart is how long the share of a target grows that was down, from a tenth to the
	// whole; 0 means that it has its whole share at once.
	SlowStart time.Duration
	// Find looks up the addresses of a host; nil means the system's resolver.
	Find func(ctx context.Context, host string) ([]netip.Addr, error)
	// Options are set on every TCP connection.
	Options socket.Options
	// DialTimeout bounds a lookup, and a dial with all the targets that it tries.
	DialTimeout time.Duration
	Health      Health
	// AtOnce bounds how many checks are under way, and how many lookups; 0 means 16.
	AtOnce int
	// Probe makes a check instead of the package; nil means that the package makes it.
	Probe func(*Target) error

	Clock   func() heartbeat.Time
	Random  func() uint64                     // any goroutine may call it
	Beside  func(job func())                  // runs a job that may block
	After   func(d time.Duration, job func()) // runs a job that may block, such as a check, after some time
	Log     *slog.Logger
	Metrics *metrics.Metrics
}

// An Upstream configures a Backend.
type Upstream struct {
	// URL is where the service is: a URL of scheme ws, http, wss or https with a host and
	// an optional path, which is put before the path of every request; or a URL of scheme
	// unix whose path is the path of a socket.
	URL *url.URL
	// TLS returns the configuration for the next connection. It is required for the
	// schemes wss and https, and is not used for the others.
	TLS func() *tls.Config
	// Host is the Host field of requests; empty means the client's.
	Host string
	// HealthHost is the Host field of checks.
	HealthHost string
}

// A Pool holds the backends that requests can go to. It may be used by any goroutine.
type Pool struct {
	// Static.
	cfg      Config
	ended    context.Context // done when the proxy shuts down
	backends []*Backend
	checking chan struct{} // has an item for each check under way
	asking   chan struct{} // has an item for each lookup under way
	due      atomic.Int64  // checks that wait until others have ended

	targets atomic.Pointer[[]*Target] // those in use, in the order of the backends and their addresses
	watched atomic.Bool               // Watch was called

	whenDown atomic.Pointer[func(*Target)]

	mu sync.Mutex // held while targets is replaced

	turnsMu sync.Mutex        // guards the field below, and Target.turns
	round   [turnKinds]uint64 // the fewest turns of a target that takes requests
}

// checksAtOnce bounds the checks under way, and the lookups, if Config does not. A check has
// a descriptor, and a lookup has two.
const checksAtOnce = 16

// NewPool returns a pool. Its lookups and checks end when ended is done. Watch begins the
// checks.
func NewPool(ended context.Context, cfg Config) (*Pool, error) {
	if cfg.Find == nil {
		cfg.Find = systemResolver
	}
	most := cmp.Or(cfg.AtOnce, checksAtOnce)
	p := &Pool{cfg: cfg, ended: ended, checking: make(chan struct{}, most), asking: make(chan struct{}, most)}
	for _, upstream := range cfg.Upstreams {
		b, err := newBackend(p, upstream)
		if err != nil {
			return nil, err
		}
		p.backends = append(p.backends, b)
	}
	p.publish()
	cfg.Metrics.ShowAddresses(p.shown)
	return p, nil
}

// publish replaces the list of targets in use after a change.
func (p *Pool) publish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*Target
	for _, b := range p.backends {
		all = append(all, b.inUse()...)
	}
	p.targets.Store(&all)
}

// Watch begins to check the backends.
func (p *Pool) Watch() {
	p.watched.Store(true)
	for _, b := range p.backends {
		b.watch()
	}
}

// Up reports whether a request that comes now has a target that is up.
func (p *Pool) Up() bool {
	return slices.ContainsFunc(*p.targets.Load(), (*Target).takesRequests)
}

// Works reports whether a target is up, even one that an operator has taken out of use.
func (p *Pool) Works() bool { return slices.ContainsFunc(*p.targets.Load(), (*Target).Up) }

// Working returns the targets in use that are up. It takes no lock, so what WhenDown has set
// may call it.
func (p *Pool) Working() (all []*Target) {
	for _, t := range *p.targets.Load() {
		if t.Up() {
			all = append(all, t)
		}
	}
	return all
}

// Several reports whether requests have more than one target to go to.
func (p *Pool) Several() bool { return len(p.backends) > 1 || len(*p.targets.Load()) > 1 }

// Prefix returns the path that is put before the path of every request, as the URL of each
// backend has it: see upgrade.AppendTarget.
func (p *Pool) Prefix() string { return p.backends[0].prefix }

// Names returns the names of the backends in the log and the metrics.
func (p *Pool) Names() (all []string) {
	for _, b := range p.backends {
		all = append(all, b.name)
	}
	return all
}

// refresh starts the lookups that are due.
func (p *Pool) refresh(now heartbeat.Time) {
	for _, b := range p.backends {
		if b.isDue(now) {
			b.lookUp()
		}
	}
}

// Await calls then once: as soon as a lookup has found an address, or when all lookups that
// are under way now have ended. The call may come from any goroutine, and before Await
// returns. Await returns nil, and does not call then, if no lookup is under way. A caller
// that no longer waits calls forgo; then may still be called afterwards.
func (p *Pool) Await(then func()) (forgo func()) {
	w := &waiter{then: then}
	w.left.Store(1) // until all are asked
	var forgos []func()
	for _, b := range p.backends {
		if forgo := b.await(w); forgo != nil {
			forgos = append(forgos, forgo)
		}
	}
	if len(forgos) == 0 {
		return nil
	}
	w.ends(errNoAddress)
	return func() {
		for _, forgo := range forgos {
			forgo()
		}
	}
}

// A waiter is one call of Await.
type waiter struct {
	left atomic.Int32 // lookups that have not ended
	once sync.Once
	then func()
}

// ends counts a lookup that has ended.
func (w *waiter) ends(err error) {
	if w.left.Add(-1) == 0 || err == nil {
		w.once.Do(w.then)
	}
}

// noAddresses returns why backends have no address, with their names, or nil if all have
// one. Those that an operator has taken out of use are left out: see Route.outOfUse.
func (p *Pool) noAddresses() (all []error) {
	for _, b := range p.backends {
		if err := b.noAddress(); err != nil {
			all = append(all, fmt.Errorf("%s: %w", b.name, err))
		}
	}
	return all
}

// WhenDown sets what is called when a target goes down. It must not block.
func (p *Pool) WhenDown(call func(*Target)) { p.whenDown.Store(&call) }

// moved tells that a target has gone down.
func (p *Pool) moved(t *Target) {
	if call := p.whenDown.Load(); call != nil {
		(*call)(t)
	}
}

// Has reports whether a backend has that name, as SetDrained takes it, and that address.
func (p *Pool) Has(name, address string) bool {
	return slices.ContainsFunc(p.backends, func(b *Backend) bool {
		return b.bareName() == name && (address == "" || b.has(address))
	})
}

// SetDrained takes targets out of use, or back into it, and returns them. They are those
// of the backends of that name, which is as in their URL without the scheme. address is
// one of their addresses; if it is empty, they are all of them, and those that come later.
func (p *Pool) SetDrained(name, address string, drained bool) (all []*Target) {
	for _, b := range p.backends {
		if b.bareName() == name {
			all = append(all, b.setDrained(address, drained)...)
		}
	}
	return all
}

// Targets returns the status of every target: those in use, and those that have sessions
// although their backend's name leads to them no more. A backend without such a target has
// one Status, without an address. So each backend is there.
func (p *Pool) Targets() (all []Status) {
	for _, b := range p.backends {
		all = append(all, b.statuses()...)
	}
	return all
}

// Load returns how many handshakes and sessions all targets count together, and how many of
// them are sessions.
func (p *Pool) Load() (load, sessions int) {
	for _, b := range p.backends {
		l, s := b.sum()
		load, sessions = load+l, sessions+s
	}
	return load, sessions
}

// shown returns what the metrics show of every target. A backend without an address has no
// series.
func (p *Pool) shown() (all []metrics.Address) {
	for _, s := range p.Targets() {
		if s.Address == "" {
			continue
		}
		all = append(all, metrics.Address{
			Upstream: s.Upstream, Address: s.Address, Up: s.Up, Draining: s.Draining, Sessions: s.Sessions,
		})
	}
	return all
}
