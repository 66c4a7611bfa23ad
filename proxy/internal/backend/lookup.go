package backend

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/panics"
	"holdfast/proxy/internal/socket"
)

// addressesFresh is how long the addresses of a name are used before the name is looked
// up again. Go's resolver does not return a TTL. Services that move, as in Kubernetes,
// use TTLs of 5 to 30 s.
const addressesFresh = 5 * time.Second

// Known returns the addresses, and whether they are fresh.
func (b *Backend) Known(now heartbeat.Time) ([]socket.Endpoint, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addrs, now < b.freshTo
}

// Lookup resolves the name, once for all who wait for it, and calls then from another
// goroutine. A caller that no longer waits calls forgo; then may still be called
// afterwards.
func (b *Backend) Lookup(then func([]socket.Endpoint, error)) (forgo func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil { // no lookup is under way
		b.waiting = list.New()
		b.cfg.Beside(b.resolve)
	}
	asked := b.waiting.PushBack(then)
	return func() { b.forgo(asked) }
}

// forgo removes a waiter from the lookup under way, so that clients that come and leave
// before an answer cost nothing. The lookup itself goes on for the next waiter.
func (b *Backend) forgo(asked *list.Element) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting != nil {
		b.waiting.Remove(asked) // it does nothing if asked belongs to an earlier list
	}
}

// resolve performs a lookup, within DialTimeout, and calls those who wait for it, even if
// the lookup panics.
func (b *Backend) resolve() {
	var addrs []socket.Endpoint
	err := panics.ErrCaught
	defer func() { b.resolved(addrs, err) }()
	addrs, err = b.find()
}

// find looks the name up.
func (b *Backend) find() ([]socket.Endpoint, error) {
	ctx, cancel := context.WithTimeout(b.ended, b.cfg.DialTimeout)
	defer cancel()
	ips, err := b.cfg.Find(ctx, b.host)
	if err != nil {
		err = cmp.Or(descriptorsLack(), err) // package net hides a lack of descriptors
	} else if len(ips) == 0 {
		err = errNoAddress
	}
	addrs := make([]socket.Endpoint, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, socket.Endpoint{AddrPort: netip.AddrPortFrom(ip.Unmap(), b.port)})
	}
	return addrs, err
}

// resolved keeps the outcome of a lookup and calls those who wait for it.
func (b *Backend) resolved(addrs []socket.Endpoint, err error) {
	b.mu.Lock()
	if err == nil {
		b.addrs, b.freshTo = addrs, b.cfg.Clock().Add(addressesFresh)
		b.failures.keep(addrs)
	}
	waiting := b.waiting
	b.waiting = nil
	b.mu.Unlock()
	for e := waiting.Front(); e != nil; e = e.Next() {
		e.Value.(func([]socket.Endpoint, error))(addrs, err)
	}
}

var errNoAddress = errors.New("the name has no address")

// systemResolver looks up the addresses of host with the system's resolver.
func systemResolver(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// stale makes the next dial look the name up again.
func (b *Backend) stale() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freshTo != heartbeat.Never {
		b.freshTo = 0
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
