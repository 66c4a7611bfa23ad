package proxy

import (
	"context"
	"runtime/debug"
	"time"
)

// A storm of handshakes or ends leaves garbage behind that the runtime, which
// expects the like again, gives back to the system only slowly. Once a storm is
// over it is given back at once: it can be more than all idle sessions need.
const (
	trimInterval = 5 * time.Second
	stormSize    = 256 // handshakes and ends since the last trim that make it worth while
	calmSize     = 32  // at most so many within the last interval: the storm is over
)

// trim runs beside the loops until the server shuts down.
func (s *Server) trim(ended context.Context) {
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	var trimmed, last uint64
	for {
		select {
		case <-ended.Done():
			return
		case <-tick.C:
		}
		now := s.ids.Load() + s.leaves.Load()
		if now-trimmed >= stormSize && now-last <= calmSize {
			debug.FreeOSMemory()
			trimmed = now
		}
		last = now
	}
}
