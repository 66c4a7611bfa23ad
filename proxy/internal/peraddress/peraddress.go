// Package peraddress counts the connections of each client address and limits them.
// Clients over the limit are counted apart: a few of them at a time may be told so, and
// they take no place from clients that were admitted.
//
// An IPv6 /64 counts as one address: it is the least that a subscriber is given (RFC
// 6177), and the subscriber can use any address in it.
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
	Uncounted  Seat = iota // not counted: there is no limit, or no address
	Admitted               // within the limit; → given back by Leave
	Refused                // over the limit, and to be told so; → Admitted by Promote, or given back by Leave
	TurnedAway             // not counted: the address is at its limit, and refusedAtOnce are being refused
)

// refusedAtOnce bounds how many connections of one address are being refused at one time.
// It is more than one, because a browser or a NAT may bring several clients at once. It
// is small, because each connection holds a descriptor.
const refusedAtOnce = 8

// Table counts the connections of each address. It may be used from any goroutine. It is
// split into shards mainly so that shard.shrink holds a lock only for a short time.
// Contention matters less: a lock is taken only when a connection begins or ends.
type Table struct {
	// Static.
	limit int
	seed  maphash.Seed // random, so that a client cannot choose addresses of one shard

	shards [64]shard
}

type shard struct {
	mu sync.Mutex

	// Guarded by mu.
	seats map[key]seats // never both 0
	peak  int           // the largest size of the map since it was made
}

// seats are the connections of one address.
type seats struct{ admitted, refused int32 }

// key is 4 and an IPv4 address, or 6 and the first half of an IPv6 address. A
// netip.Prefix could hold the same, but has a pointer that the garbage collector follows.
type key [9]byte

// New returns an empty table. An address may have limit connections. 0 means no limit,
// and then nothing is counted.
func New(limit int) *Table {
	t := &Table{limit: limit, seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].seats = make(map[key]seats)
	}
	return t
}

// Enter counts a connection of a and returns its seat, which Leave gives back. The zero
// Addr stands for a client without an address, and is not limited.
func (t *Table) Enter(a netip.Addr) Seat {
	if !t.counts(a) {
		return Uncounted
	}
	k := keyOf(a)
	return t.shardOf(k).enter(k, t.limit)
}

// Promote makes a Refused connection of a an Admitted one if a is below the limit now,
// and returns its seat.
func (t *Table) Promote(a netip.Addr) Seat {
	k := keyOf(a)
	return t.shardOf(k).promote(k, t.limit)
}

// Leave gives back the seat of a connection of a.
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

// Account returns one address for all addresses that count as one.
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

// worthShrinking is the least peak at which shrink copies the map.
const worthShrinking = 64

// shrink gives back the memory of a storm of connections, which a map never does by
// itself. It copies at most a quarter of the peak, after at least three quarters have
// left. So the cost for each connection is small, and with a million addresses at most
// some thousands are copied at once.
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
