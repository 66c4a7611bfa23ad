package proxy

import (
	"context"
	"runtime/debug"
	"time"
)

// A storm of handshakes or ends leaves garbage. The Go runtime keeps that memory for the
// next storm and returns it to the system only slowly. trim returns it as soon as a storm
// is over: it can be more than all idle sessions need.
const (
	trimInterval = 5 * time.Second
	stormSize    = 256 // so many handshakes and ends since the last trim are a storm
	calmSize     = 32  // at most so many within the last interval mean that it is over
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
