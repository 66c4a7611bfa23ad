// Package peraddress counts the sessions of each client address, so that none
// has more than its share. An IPv6 /64 counts as one address: it is the
// least that a subscriber is given (RFC 6177), and any address in it is theirs.
package peraddress

import (
	"hash/maphash"
	"maps"
	"net/netip"
	"sync"
)

// Table holds the addresses that have sessions, and how many. It may be used from
// any goroutine. It is split into shards, less for the sake of the lock, which
// only handshakes and ends of sessions take, than to keep what is done under it
// short: see shard.shrink.
type Table struct {
	// Static.
	limit int
	seed  maphash.Seed // of this table alone, so that nobody can fill one shard

	shards [64]shard
}

type shard struct {
	mu sync.Mutex

	// Guarded by mu.
	sessions map[key]int32 // never 0
	peak     int           // the largest the map has been since it was made
}

// key is 4 and an IPv4 address, or 6 and the first half of an IPv6 address. A
// netip.Prefix would say the same, but holds a pointer that the collector follows.
type key [9]byte

// New returns an empty table. An address may have limit sessions; 0 means that
// nothing is limited, and so nothing counted.
func New(limit int) *Table {
	t := &Table{limit: limit, seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].sessions = make(map[key]int32)
	}
	return t
}

// Enter counts a session of a, and reports whether it may be: otherwise it is not
// counted. Each that was allowed is ended by Leave. The zero Addr, of who has no
// address, is not limited.
func (t *Table) Enter(a netip.Addr) bool {
	if !t.counts(a) {
		return true
	}
	k := keyOf(a)
	return t.shardOf(k).enter(k, t.limit)
}

// Leave ends a session that Enter counted.
func (t *Table) Leave(a netip.Addr) {
	if !t.counts(a) {
		return
	}
	k := keyOf(a)
	if !t.shardOf(k).leave(k) {
		panic("peraddress: " + a.String() + " leaves but did not enter")
	}
}

// Len returns how many addresses have sessions.
func (t *Table) Len() int {
	n := 0
	for i := range t.shards {
		n += t.shards[i].len()
	}
	return n
}

func (t *Table) counts(a netip.Addr) bool { return t.limit > 0 && a.IsValid() }

func (t *Table) shardOf(k key) *shard {
	return &t.shards[maphash.Comparable(t.seed, k)%uint64(len(t.shards))]
}

func keyOf(a netip.Addr) (k key) {
	if a = a.Unmap(); a.Is4() {
		ipv4 := a.As4()
		k[0] = 4
		copy(k[1:], ipv4[:])
		return k
	}
	ipv6 := a.As16()
	k[0] = 6
	copy(k[1:], ipv6[:8])
	return k
}

func (s *shard) enter(k key, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.sessions[k]
	if int(n) >= limit {
		return false
	}
	s.sessions[k] = n + 1
	s.peak = max(s.peak, len(s.sessions))
	return true
}

func (s *shard) leave(k key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.sessions[k]
	switch n {
	case 0:
		return false
	case 1:
		delete(s.sessions, k)
		s.shrink()
	default:
		s.sessions[k] = n - 1
	}
	return true
}

// worthShrinking is the size from which on a map that is too large for what is
// left in it is made anew.
const worthShrinking = 64

// shrink gives the memory of a storm of sessions back: a map never does by
// itself. At most a quarter of the peak is copied after at least three quarters
// have left, so that it costs next to nothing for each, and of a million addresses
// no more than some thousands at once.
func (s *shard) shrink() {
	if s.peak < worthShrinking || len(s.sessions) > s.peak/4 {
		return
	}
	fresh := make(map[key]int32, len(s.sessions))
	maps.Copy(fresh, s.sessions)
	s.sessions = fresh
	s.peak = len(fresh)
}

func (s *shard) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}
