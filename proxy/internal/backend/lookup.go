package backend

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/panics"
)

// addressesFresh is how long the addresses of a name are used before the name is looked
// up again. Go's resolver does not return a TTL. Services that move, as in Kubernetes,
// use TTLs of 5 to 30 s.
const addressesFresh = 5 * time.Second

// addressesOld is the age at which addresses are not used any more without a lookup. Until
// then a request uses them at once, and the lookup is for the next one. They do not become
// old during a lookup. A lookup that fails leaves them in use: a name server may be down
// while the service works.
const addressesOld = 30 * time.Second

// lookupPause is the time from a lookup that has failed to the next one, while requests
// have other addresses to go to.
const lookupPause = time.Second

// lookup is what is known about the lookups of a backend's name.
type lookup struct {
	freshTo atomic.Int64 // the heartbeat.Time from which a lookup is due
	oldFrom atomic.Int64 // the heartbeat.Time from which the addresses are old

	// Guarded by Backend.mu.
	underWay bool
	waiting  *list.List // of *waiter: those that wait for the lookup under way
	err      error      // of the last lookup; nil if it has found addresses
	told     trouble    // what the log has said
}

// A trouble is what a lookup that fails leads to.
type trouble uint8

const (
	untroubled  trouble = iota
	unanswered          // the addresses that were found before stay in use
	addressless         // there is none
)

// isDue reports whether the addresses must be looked up again.
func (b *Backend) isDue(now heartbeat.Time) bool {
	return now >= heartbeat.Time(b.lookup.freshTo.Load())
}

// isOld reports whether the addresses are too old to be used.
func (b *Backend) isOld(now heartbeat.Time) bool {
	return now >= heartbeat.Time(b.lookup.oldFrom.Load())
}

// stale makes the next dial look the name up again.
func (b *Backend) stale() {
	if b.named() {
		b.lookup.freshTo.Store(0)
	}
}

// lookUp begins a lookup, unless one is under way. Addresses that are not old yet stay in use
// until it ends: many names may wait for their turn, and the name servers may be silent.
func (b *Backend) lookUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lookup.underWay {
		return
	}
	if !b.isOld(b.pool.cfg.Clock()) {
		b.lookup.oldFrom.Store(int64(heartbeat.Never))
	}
	b.lookup.underWay = true
	b.lookup.waiting = list.New()
	b.pool.cfg.Beside(b.resolve)
}

// lookAgain looks the name up from time to time while the backend is in use: checked, or
// with handshakes and sessions. A backend that is down is checked whatever the interval, and
// may have moved.
func (b *Backend) lookAgain() {
	if b.pool.ended.Err() != nil {
		return
	}
	interval := b.pool.cfg.Health.Interval
	if interval > 0 || interval == 0 && !b.works() || b.isLoaded() {
		b.lookUp()
	}
	b.pool.cfg.After(addressesFresh, b.lookAgain)
}

// works reports whether a target of the backend is up.
func (b *Backend) works() bool { return slices.ContainsFunc(b.all(), (*Target).Up) }

// isLoaded reports whether a handshake or a session has one of the backend's targets.
func (b *Backend) isLoaded() bool {
	isLoaded := func(t *Target) bool { return t.load.Load() > 0 }
	return slices.ContainsFunc(b.all(), isLoaded) || len(b.leavers()) > 0
}

// await adds w to those that wait for the lookup under way. It returns nil if none is.
func (b *Backend) await(w *waiter) (forgo func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.lookup.underWay {
		return nil
	}
	w.left.Add(1)
	asked := b.lookup.waiting.PushBack(w)
	return func() { b.forgo(asked) }
}

// forgo removes a waiter from the lookup under way, so that clients that come and leave
// before an answer cost nothing. The lookup itself goes on for the next waiter.
func (b *Backend) forgo(asked *list.Element) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lookup.underWay {
		b.lookup.waiting.Remove(asked) // it does nothing if asked belongs to an earlier list
	}
}

// resolve performs a lookup, within DialTimeout, and calls those who wait for it, even if
// the lookup panics.
func (b *Backend) resolve() {
	var addrs []netip.Addr
	err := panics.ErrCaught
	defer func() { b.resolved(addrs, err) }()
	select {
	case b.pool.asking <- struct{}{}:
		defer func() { <-b.pool.asking }()
	case <-b.pool.ended.Done():
		err = b.pool.ended.Err()
		return
	}
	addrs, err = b.find()
}

// find looks the name up.
func (b *Backend) find() ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(b.pool.ended, b.pool.cfg.DialTimeout)
	defer cancel()
	addrs, err := b.pool.cfg.Find(ctx, b.host)
	switch {
	case err != nil:
		return nil, cmp.Or(descriptorsLack(), err) // package net hides a lack of descriptors
	case len(addrs) == 0:
		return nil, errNoAddress
	}
	return addrs, nil
}

// resolved uses the outcome of a lookup and calls those who wait for it.
func (b *Backend) resolved(addrs []netip.Addr, err error) {
	now := b.pool.cfg.Clock()
	if err == nil || saysNoAddress(err) {
		fresh := b.setTargets(addrs)
		b.pool.publish()
		if b.pool.watched.Load() {
			for _, t := range fresh {
				t.watch()
			}
		}
	}
	switch {
	case err == nil:
		b.lookup.freshTo.Store(int64(now.Add(addressesFresh)))
	case len(*b.pool.targets.Load()) > 0:
		b.lookup.freshTo.Store(int64(now.Add(lookupPause)))
	default:
		b.stale() // nothing else can be tried
	}
	b.lookup.oldFrom.Store(int64(now.Add(addressesOld)))
	waiting, tell := b.conclude(err)
	if tell {
		b.tell(err)
	}
	for e := waiting.Front(); e != nil; e = e.Next() {
		e.Value.(*waiter).ends(err)
	}
}

// conclude ends the lookup under way. It returns those who wait for it, and whether the
// log has to tell of err. The end of the proxy is not an error of the name's.
func (b *Backend) conclude(err error) (waiting *list.List, tell bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.lookup
	now := untroubled
	switch {
	case err != nil && len(b.targets) == 0:
		now = addressless
	case err != nil:
		now = unanswered
	}
	tell = l.told != now && b.pool.ended.Err() == nil
	l.told = now
	waiting, l.waiting, l.underWay, l.err = l.waiting, nil, false, err
	return waiting, tell
}

// tell logs that lookups fail now, or that they work again.
func (b *Backend) tell(err error) {
	switch log := b.pool.cfg.Log; {
	case err == nil:
		log.Info("the upstream's name is found again", "upstream", b.name)
	case len(b.all()) == 0:
		log.Warn("upstream is down: its name has no address", "upstream", b.name, "error", err.Error())
	default:
		log.Warn("the upstream's name cannot be looked up: the addresses that were found before stay in use", "upstream", b.name, "error", err.Error())
	}
}

// state says why the name has no address. The caller holds Backend.mu.
func (l *lookup) state() string {
	switch {
	case l.err != nil:
		return l.err.Error()
	case l.underWay:
		return "its name is being looked up"
	}
	return "its name was not looked up yet"
}

// noAddress returns why the backend has no address. It returns nil if the backend has one,
// or is out of use.
func (b *Backend) noAddress() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case len(b.targets) > 0 || b.drained:
		return nil
	case b.lookup.err != nil:
		return b.lookup.err
	}
	return fmt.Errorf("look %s up: %w", b.host, ErrTimeout)
}

var errNoAddress = errors.New("the name has no address")

// saysNoAddress reports whether err is the answer that a name has no address, and not the
// lack of an answer.
func saysNoAddress(err error) bool {
	lookup, is := errors.AsType[*net.DNSError](err)
	return errors.Is(err, errNoAddress) || is && lookup.IsNotFound
}

// systemResolver looks up the addresses of a host with the system's resolver.
var systemResolver = lookUpWith(net.DefaultResolver)

// lookUpWith returns a function that looks up the addresses of a host with a resolver. A
// resolver asks for both families, and under several domains. It may say that there is no
// such host although one of these questions was not answered. So each family is then asked
// for by itself, and every question must be answered.
func lookUpWith(resolver *net.Resolver) func(context.Context, string) ([]netip.Addr, error) {
	strict := &net.Resolver{PreferGo: resolver.PreferGo, StrictErrors: true, Dial: resolver.Dial}
	return func(ctx context.Context, host string) (addrs []netip.Addr, err error) {
		addrs, err = resolver.LookupNetIP(ctx, "ip", host)
		if !saysNoAddress(err) {
			return addrs, err
		}
		for _, family := range [...]string{"ip4", "ip6"} {
			some, err := strict.LookupNetIP(ctx, family, host)
			if err != nil && !saysNoAddress(err) {
				return nil, err
			}
			addrs = append(addrs, some...)
		}
		if len(addrs) > 0 {
			return addrs, nil
		}
		return nil, err
	}
}

// descriptorsLack returns the error with which this process cannot make a socket, or nil
// if it can.
func descriptorsLack() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
