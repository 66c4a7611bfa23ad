package backend

import (
	"slices"
	"sync"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

// failures remembers which addresses of a backend have failed recently, for all who dial.
// A dead address would cost each dial its share of the time. Such an address is tried
// after all others.
type failures struct {
	mu    sync.Mutex
	until map[socket.Endpoint]heartbeat.Time // when a dial may begin with the address again
}

// lastFor is how long an address that has failed is tried last. Then one dial begins with
// it again. If that dial connects, all later dials do too.
const lastFor = 10 * time.Second

// failed records that an address could not be connected to.
func (f *failures) failed(at socket.Endpoint, now heartbeat.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until == nil {
		f.until = make(map[socket.Endpoint]heartbeat.Time)
	}
	f.until[at] = now.Add(lastFor)
}

// worked forgets the failure of an address.
func (f *failures) worked(at socket.Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.until, at)
}

// keep forgets the failures of addresses that are not in addrs.
func (f *failures) keep(addrs []socket.Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := range f.until {
		if !slices.Contains(addrs, at) {
			delete(f.until, at)
		}
	}
}

// order returns the addresses in the order in which a dial that begins now tries them:
// unchanged, except that those that have failed recently come last.
func (f *failures) order(addrs []socket.Endpoint, now heartbeat.Time) []socket.Endpoint {
	if len(addrs) < 2 {
		return addrs
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.until) == 0 {
		return addrs
	}
	first := make([]socket.Endpoint, 0, len(addrs))
	var last []socket.Endpoint
	for _, at := range addrs {
		until, failed := f.until[at]
		switch {
		case failed && now < until:
			last = append(last, at)
		case failed:
			f.until[at] = now.Add(lastFor) // this dial tries it first, and the others still last
			fallthrough
		default:
			first = append(first, at)
		}
	}
	return append(first, last...)
}
