package certs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// keeper reads files again and again, and keeps what they held when they were
// last in order.
type keeper struct {
	// Static after construction.
	files Files
	use   func(*material) // makes new configurations; called with mu held
	kick  chan struct{}   // holds one

	current atomic.Pointer[material] // set after the first load

	mu     sync.Mutex
	loaded *contents // what current was made of; nil before the first load
}

// Reload reads the files. If they hold something new that is in order, new
// handshakes use it from now on. Otherwise nothing changes, and the error is of
// type Problems; that includes a pair of which one half has not been replaced
// yet, which the next call will find complete.
func (k *keeper) Reload() (changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found Problems
	read := k.files.read(&found)
	if len(found) == 0 && k.loaded != nil && read == *k.loaded {
		return false, nil
	}
	m := k.files.parse(read, &found)
	if len(found) > 0 {
		return false, found
	}
	k.use(m)
	k.current.Store(m)
	k.loaded = &read
	return true, nil
}

// Warnings say what has loaded and yet will not work: a certificate that has
// expired or is not valid yet, a root that cannot be used.
func (k *keeper) Warnings() []string {
	return k.current.Load().warnings(k.files.Cert, time.Now())
}

// Kick has a Watch that runs, or the next one, read the files at once.
func (k *keeper) Kick() {
	select {
	case k.kick <- struct{}{}:
	default: // one that has not been noticed yet does for both
	}
}

// Watch calls Reload at every interval, which must be positive, and at every
// Kick, until ctx ends. It reports a change, an error that is not the one of the
// call before, that an error is gone (with false and nil if the files are as they
// were), and whatever a Kick has led to. report is called from Watch's own
// goroutine.
func (k *keeper) Watch(ctx context.Context, every time.Duration, report func(changed bool, err error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := "" // the error of the call before
	for {
		kicked := false
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-k.kick:
			kicked = true
		}
		changed, err := k.Reload()
		now := ""
		if err != nil {
			now = err.Error()
		}
		if kicked || changed || now != last {
			report(changed, err)
		}
		last = now
	}
}
