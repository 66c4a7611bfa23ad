//go:build race

package secure

// withRace: the race detector is on. Under it a sync.Pool forgets at random
// what it is given, and crypto/tls has its buffers from one.
const withRace = true
