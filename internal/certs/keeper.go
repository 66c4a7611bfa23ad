package certs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// keeper reads files again and again, and keeps the last contents that were valid.
type keeper struct {
	// Static after construction.
	files Files
	use   func(*material) // makes new configurations; called with mu held
	kick  chan struct{}   // holds one token: a Kick that Watch has not noticed yet

	current atomic.Pointer[material] // set by the first load

	mu     sync.Mutex
	loaded *contents // what current was made from; nil before the first load
}

// Reload reads the files. changed is true if they have changed and are valid: new
// handshakes use them from now on. If they are not valid, nothing changes and the error
// is of type Problems. That includes the moment when only the certificate or only the
// key has been replaced. A later call succeeds once both have.
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

// Warnings returns what was loaded and will not work: a certificate that has expired or
// is not valid yet, a root that cannot be used.
func (k *keeper) Warnings() []string {
	return k.current.Load().warnings(k.files.Cert, time.Now())
}

// Kick makes the running Watch, or else the next one, read the files at once.
func (k *keeper) Kick() {
	select {
	case k.kick <- struct{}{}:
	default: // Watch has not noticed the last Kick yet, and will read the files once
	}
}

// Watch calls Reload at every interval, which must be positive, and at every Kick, until
// ctx ends. It calls report with the result, in its own goroutine,
//
//   - if the files have changed and are in use;
//   - if there is an error, and the Reload before returned another one or none;
//   - if there is no error any more; changed is false if the files are as they were
//     before the error;
//   - after a Kick, always.
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
