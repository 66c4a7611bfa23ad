// Package peraddress counts the connections of each client address, so that none
// has more than its share. Clients beyond the limit are counted apart: a few at a
// time are there to be told so, and take no place from those that were admitted.
//
// An IPv6 /64 counts as one address: it is the least that a subscriber is given
// (RFC 6177), and any address in it is theirs.
package peraddress

import (
	"hash/maphash"
	"maps"
	"net/netip"
	"sync"
)

// A Seat says how a connection counts for its address.
type Seat uint8

const (
	Uncounted  Seat = iota // not at all: nothing is limited, or there is no address
	Admitted               // within the limit; → given back by Leave
	Refused                // beyond the limit, and to be told so; → Admitted by Promote, or given back by Leave
	TurnedAway             // not at all: the limit is reached, and as many as may be are being refused
)

// refusedAtOnce is how many connections of one address may be on their way to
// being refused at one time. It is more than one since a browser or a NAT may
// bring several clients at once, and small since each holds a descriptor.
const refusedAtOnce = 8

// Table holds the addresses that have connections, and how many. It may be used from
// any goroutine. It is split into shards, less for the sake of the lock, which
// only begins and ends of connections take, than to keep what is done under it
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
	seats map[key]seats // never both 0
	peak  int           // the largest the map has been since it was made
}

// seats are the connections of one address.
type seats struct{ admitted, refused int32 }

// key is 4 and an IPv4 address, or 6 and the first half of an IPv6 address. A
// netip.Prefix would say the same, but holds a pointer that the collector follows.
type key [9]byte

// New returns an empty table. An address may have limit connections; 0 means that
// nothing is limited, and so nothing counted.
func New(limit int) *Table {
	t := &Table{limit: limit, seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].seats = make(map[key]seats)
	}
	return t
}

// Enter counts a connection of a and returns its seat, which Leave gives back.
// The zero Addr, of who has no address, is not limited.
func (t *Table) Enter(a netip.Addr) Seat {
	if !t.counts(a) {
		return Uncounted
	}
	k := keyOf(a)
	return t.shardOf(k).enter(k, t.limit)
}

// Promote makes a Refused connection of a an Admitted one, if the limit now has
// room for it, and returns its seat.
func (t *Table) Promote(a netip.Addr) Seat {
	k := keyOf(a)
	return t.shardOf(k).promote(k, t.limit)
}

// Leave gives a connection's seat back.
func (t *Table) Leave(a netip.Addr, seat Seat) {
	if seat == Uncounted || seat == TurnedAway {
		return
	}
	k := keyOf(a)
	if !t.shardOf(k).leave(k, seat) {
		panic("peraddress: " + a.String() + " leaves but did not enter")
	}
}

// Len returns how many addresses have connections.
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

// Account is the same for all addresses that count as one.
func Account(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		ipv6 := a.As16()
		clear(ipv6[8:])
		return netip.AddrFrom16(ipv6)
	}
	return a
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

func (s *shard) enter(k key, limit int) Seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.seats[k]
	seat := TurnedAway
	switch {
	case int(n.admitted) < limit:
		n.admitted++
		seat = Admitted
	case n.refused < refusedAtOnce:
		n.refused++
		seat = Refused
	}
	s.seats[k] = n
	s.peak = max(s.peak, len(s.seats))
	return seat
}

func (s *shard) promote(k key, limit int) Seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.seats[k]
	if int(n.admitted) >= limit {
		return Refused
	}
	s.seats[k] = seats{n.admitted + 1, n.refused - 1}
	return Admitted
}

func (s *shard) leave(k key, seat Seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.seats[k]
	if seat == Admitted {
		n.admitted--
	} else {
		n.refused--
	}
	if n.admitted < 0 || n.refused < 0 {
		return false
	}
	if n != (seats{}) {
		s.seats[k] = n
		return true
	}
	delete(s.seats, k)
	s.shrink()
	return true
}

// worthShrinking is the size from which on a map that is too large for what is
// left in it is made anew.
const worthShrinking = 64

// shrink gives the memory of a storm of connections back: a map never does by
// itself. At most a quarter of the peak is copied after at least three quarters
// have left, so that it costs next to nothing for each, and of a million addresses
// no more than some thousands at once.
func (s *shard) shrink() {
	if s.peak < worthShrinking || len(s.seats) > s.peak/4 {
		return
	}
	fresh := make(map[key]seats, len(s.seats))
	maps.Copy(fresh, s.seats)
	s.seats = fresh
	s.peak = len(fresh)
}

func (s *shard) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seats)
}
