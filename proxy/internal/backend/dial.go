package backend

import (
	"errors"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

// ErrTimeout says that there was no connection in time.
var ErrTimeout = errors.New("no connection in time")

// queueFullPause is when a unix socket is tried again whose queue was full:
// unlike TCP's, its connect does not wait for room.
const queueFullPause = 20 * time.Millisecond

// A Dial tries one of a backend's addresses after another. It makes no connection
// itself: the caller tries To, and says what became of it. The zero Dial is of no use.
type Dial struct {
	To socket.Endpoint // the address that is tried; set by Next

	backend *Backend
	left    []socket.Endpoint // not tried yet
	by      heartbeat.Time    // when all of it must be done
	err     error             // what it fails with
}

// Dial begins a dial to the given addresses, of which those that have failed of late
// come last. All of it must be done by the given time.
func (b *Backend) Dial(addrs []socket.Endpoint, now, by heartbeat.Time) Dial {
	return Dial{backend: b, left: b.failures.order(addrs, now), by: by, err: ErrTimeout}
}

// Next goes on to the next address, and says by when it must be connected to:
// each gets an even share of the time left. It returns false if there is no
// address, or no time, left; the dial has failed then.
func (d *Dial) Next(now heartbeat.Time) (by heartbeat.Time, more bool) {
	if len(d.left) == 0 || now >= d.by {
		return 0, false
	}
	share := d.by.Sub(now) / time.Duration(len(d.left))
	d.To, d.left = d.left[0], d.left[1:]
	return now.Add(share), true
}

// Full notes that the queue of the address was full. It says when to call Next,
// which then begins with the same address.
func (d *Dial) Full(now heartbeat.Time) (again heartbeat.Time) {
	d.left = append([]socket.Endpoint{d.To}, d.left...)
	return min(d.by, now.Add(queueFullPause))
}

// Missed notes why an address could not be connected to. The dial fails with the
// last such error, but if this host lacked something it fails with that: it
// would be said of the backend else that it is down.
func (d *Dial) Missed(now heartbeat.Time, err error) {
	if outcomeOf(d.err) != Unprovided {
		d.err = err
	}
	if out := outcomeOf(err); out == Unreachable || out == Unanswered {
		d.backend.failures.failed(d.To, now)
	}
}

// Reached notes that the address was connected to.
func (d *Dial) Reached() { d.backend.failures.worked(d.To) }

// Err is what the dial has failed with.
func (d *Dial) Err() error { return d.err }
