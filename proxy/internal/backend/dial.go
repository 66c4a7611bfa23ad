package backend

import (
	"errors"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

// ErrTimeout means that no connection was made in time.
var ErrTimeout = errors.New("no connection in time")

// queueFullPause is how long a dial waits before it tries a unix socket again whose queue
// was full. Unlike TCP, a unix socket's connect does not wait for room.
const queueFullPause = 20 * time.Millisecond

// A Dial goes through a backend's addresses. It makes no connection itself: the caller
// connects to To, and reports the outcome. The zero Dial must not be used.
type Dial struct {
	To socket.Endpoint // the address to connect to; set by Next

	backend *Backend
	left    []socket.Endpoint // not tried yet
	by      heartbeat.Time    // deadline of the whole dial
	err     error             // the error that Err returns
}

// Dial starts a dial to addrs that must be done at by. Addresses that have failed
// recently come last.
func (b *Backend) Dial(addrs []socket.Endpoint, now, by heartbeat.Time) Dial {
	return Dial{backend: b, left: b.failures.order(addrs, now), by: by, err: ErrTimeout}
}

// Next moves To to the next address and returns the deadline for its connect: each
// address gets an even share of the time that is left. It returns false if no address or
// no time is left; the dial has failed then.
func (d *Dial) Next(now heartbeat.Time) (by heartbeat.Time, more bool) {
	if len(d.left) == 0 || now >= d.by {
		return 0, false
	}
	share := d.by.Sub(now) / time.Duration(len(d.left))
	d.To, d.left = d.left[0], d.left[1:]
	return now.Add(share), true
}

// Full records that the queue of To was full. It returns when to call Next, which then
// starts with the same address.
func (d *Dial) Full(now heartbeat.Time) (again heartbeat.Time) {
	d.left = append([]socket.Endpoint{d.To}, d.left...)
	return min(d.by, now.Add(queueFullPause))
}

// Missed records why To could not be connected to. The dial fails with the last such
// error. But if this host lacked something or the proxy's own code failed, the dial fails
// with that error: otherwise the backend would count as down.
func (d *Dial) Missed(now heartbeat.Time, err error) {
	if out := outcomeOf(d.err); out != Unprovided && out != Faulty {
		d.err = err
	}
	if out := outcomeOf(err); out == Unreachable || out == Unanswered {
		d.backend.failures.failed(d.To, now)
	}
}

// Reached records that To was connected to.
func (d *Dial) Reached() { d.backend.failures.worked(d.To) }

// Err returns the error of a dial that has failed.
func (d *Dial) Err() error { return d.err }
