package peraddress

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestLimit(t *testing.T) {
	table := New(2)
	a, b := addr("192.0.2.1"), addr("192.0.2.2")
	wantEnter(t, table, a, true)
	wantEnter(t, table, a, true)
	wantEnter(t, table, a, false)
	wantEnter(t, table, a, false) // the one before was not counted
	wantEnter(t, table, b, true)
	wantLen(t, table, 2)
	table.Leave(a)
	wantEnter(t, table, a, true)
	wantEnter(t, table, a, false)
	table.Leave(a)
	table.Leave(a)
	wantLen(t, table, 1)
	table.Leave(b)
	wantLen(t, table, 0)
}

func TestWhatIsOneAddress(t *testing.T) {
	for _, c := range []struct {
		why, a, b string
		same      bool
	}{
		{"IPv4", "192.0.2.1", "192.0.2.1", true},
		{"IPv4, not the same network", "192.0.2.1", "192.0.2.0", false},
		{"IPv4-mapped", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"IPv4-mapped, with a zone", "192.0.2.1", "::ffff:192.0.2.1%eth0", true},
		{"another one IPv4-mapped", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"an IPv6 /64", "2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"the next IPv6 /64", "2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"a zone", "fe80::1%eth0", "fe80::2%eth1", true},
		{"a zone or none", "fe80::1%eth0", "fe80::1", true},
		{"a /64 with the bytes of an IPv4 address", "192.0.2.1", "c000:201::", false},
		{"a /64 of zeros", "0.0.0.0", "::", false},
	} {
		t.Run(c.why, func(t *testing.T) {
			table := New(1)
			wantEnter(t, table, addr(c.a), true)
			wantEnter(t, table, addr(c.b), !c.same)
			table.Leave(addr(c.a))
			wantEnter(t, table, addr(c.a), true)
			if c.same {
				table.Leave(addr(c.b)) // whichever of them entered
				wantLen(t, table, 0)
			}
		})
	}
}

func TestNotCounted(t *testing.T) {
	for name, c := range map[string]struct {
		table *Table
		addr  netip.Addr
	}{
		"no address": {New(1), netip.Addr{}},
		"no limit":   {New(0), addr("192.0.2.1")},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				wantEnter(t, c.table, c.addr, true)
			}
			wantLen(t, c.table, 0)
			for range 3 {
				c.table.Leave(c.addr)
			}
		})
	}
}

func TestLeaveWithoutEnter(t *testing.T) {
	table := New(1)
	wantEnter(t, table, addr("192.0.2.1"), true)
	defer func() {
		if why, _ := recover().(string); !strings.Contains(why, "192.0.2.2 leaves but did not enter") {
			t.Errorf("panic: %q", why)
		}
		wantLen(t, table, 1)
		table.Leave(addr("192.0.2.1")) // no lock is held
	}()
	table.Leave(addr("192.0.2.2"))
}

// Long random runs, in storms and ebbs, against a map.
func TestModel(t *testing.T) {
	for _, limit := range []int{1, 3} {
		m := model{
			table:    New(limit),
			limit:    limit,
			sessions: make(map[netip.Prefix]int),
			random:   rand.New(rand.NewPCG(1, uint64(limit))),
		}
		for step := range 200_000 {
			arrivals := 8 // of ten steps
			if ebb := step/20_000%2 == 1; ebb {
				arrivals = 2
			}
			if len(m.inside) == 0 || m.random.IntN(10) < arrivals {
				m.enters(t, randomAddr(m.random))
			} else {
				m.leaves(m.random.IntN(len(m.inside)))
			}
			if step%1000 == 0 {
				wantLen(t, m.table, len(m.sessions))
			}
		}
		for len(m.inside) > 0 {
			m.leaves(len(m.inside) - 1)
		}
		wantLen(t, m.table, 0)
	}
}

// model says what a Table should.
type model struct {
	table    *Table
	limit    int
	sessions map[netip.Prefix]int
	inside   []netip.Addr // one for each session
	random   *rand.Rand
}

func (m *model) enters(t *testing.T, a netip.Addr) {
	t.Helper()
	allowed := m.sessions[prefix(a)] < m.limit
	wantEnter(t, m.table, a, allowed)
	if allowed {
		m.sessions[prefix(a)]++
		m.inside = append(m.inside, a)
	}
}

func (m *model) leaves(i int) {
	a, last := m.inside[i], len(m.inside)-1
	m.inside[i] = m.inside[last]
	m.inside = m.inside[:last]
	m.table.Leave(a)
	if m.sessions[prefix(a)]--; m.sessions[prefix(a)] == 0 {
		delete(m.sessions, prefix(a))
	}
}

// prefix is what counts as one address.
func prefix(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		panic(err)
	}
	return p
}

// randomAddr is one of 2^14 addresses that count as one, in one of their forms.
func randomAddr(random *rand.Rand) netip.Addr {
	n := random.Uint32N(1 << 13)
	ipv4 := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
	switch random.IntN(3) {
	case 0:
		return ipv4
	case 1:
		return netip.AddrFrom16(ipv4.As16())
	default:
		b := [16]byte{0: 0x20, 1: 1, 6: byte(n >> 8), 7: byte(n)}
		binary.BigEndian.PutUint64(b[8:], random.Uint64())
		return netip.AddrFrom16(b)
	}
}

// After a storm of addresses the memory is given back while some stay.
func TestMemoryIsGivenBack(t *testing.T) {
	const storm = 200_000
	table := New(1)
	before := heap()
	for i := range uint32(storm) {
		wantEnter(t, table, nth(i), true)
	}
	grown := heap() - before
	for i := range uint32(storm) {
		if i%100 != 0 {
			table.Leave(nth(i))
		}
	}
	kept := heap() - before
	wantLen(t, table, storm/100)
	if grown < storm*int64(len(key{})) || kept > grown/10 {
		t.Errorf("the heap grew by %d bytes, of which %d are kept for a hundredth", grown, kept)
	}
	if n := testing.AllocsPerRun(1000, func() { table.Enter(nth(1)); table.Leave(nth(1)) }); n != 0 {
		t.Errorf("%v allocations for one that comes and goes later", n)
	}
}

func nth(i uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], i)
	return netip.AddrFrom4(b)
}

// heap returns the bytes in use that are reachable.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConcurrentUse(t *testing.T) {
	const limit = 3
	table := New(limit)
	var inside [16]atomic.Int32
	var users sync.WaitGroup
	for user := range uint64(8) {
		users.Go(func() {
			random := rand.New(rand.NewPCG(user, 0))
			for range 5000 {
				i := random.Uint32N(uint32(len(inside)))
				if !table.Enter(nth(i)) {
					continue
				}
				if n := inside[i].Add(1); n > limit {
					t.Errorf("%d sessions of one address", n)
				}
				if table.Len() > len(inside) {
					t.Error("more addresses than there are")
				}
				inside[i].Add(-1)
				table.Leave(nth(i))
			}
		})
	}
	users.Wait()
	wantLen(t, table, 0)
}

func wantEnter(t *testing.T, table *Table, a netip.Addr, want bool) {
	t.Helper()
	if got := table.Enter(a); got != want {
		t.Fatalf("%v enters: %t, want %t", a, got, want)
	}
}

func wantLen(t *testing.T, table *Table, want int) {
	t.Helper()
	if got := table.Len(); got != want {
		t.Fatalf("%d addresses, want %d", got, want)
	}
}
