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
	wantEnter(t, table, a, Admitted)
	wantEnter(t, table, a, Admitted)
	for range refusedAtOnce {
		wantEnter(t, table, a, Refused)
	}
	wantEnter(t, table, a, TurnedAway)
	wantEnter(t, table, b, Admitted) // another address is not meant
	wantLen(t, table, 2)

	table.Leave(a, TurnedAway) // it was not counted
	wantEnter(t, table, a, TurnedAway)
	table.Leave(a, Refused)
	wantEnter(t, table, a, Refused) // and not Admitted
	table.Leave(a, Admitted)
	wantEnter(t, table, a, Admitted) // however many are being refused

	for range refusedAtOnce {
		table.Leave(a, Refused)
	}
	table.Leave(a, Admitted)
	table.Leave(a, Admitted)
	wantLen(t, table, 1)
	table.Leave(b, Admitted)
	wantLen(t, table, 0)
}

func TestPromote(t *testing.T) {
	table := New(1)
	a := addr("192.0.2.1")
	wantEnter(t, table, a, Admitted)
	wantEnter(t, table, a, Refused)
	wantPromote(t, table, a, Refused) // there is no room
	table.Leave(a, Admitted)
	wantPromote(t, table, a, Admitted)
	wantEnter(t, table, a, Refused)
	table.Leave(a, Refused)
	table.Leave(a, Admitted)
	wantLen(t, table, 0)

	// A refused one alone keeps its address in the table.
	wantEnter(t, table, a, Admitted)
	wantEnter(t, table, a, Refused)
	table.Leave(a, Admitted)
	wantLen(t, table, 1)
	table.Leave(a, Refused)
	wantLen(t, table, 0)
}

func wantPromote(t *testing.T, table *Table, a netip.Addr, want Seat) {
	t.Helper()
	if got := table.Promote(a); got != want {
		t.Fatalf("a refused connection is now %v, want %v", got, want)
	}
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
			if same := Account(addr(c.a)) == Account(addr(c.b)); same != c.same {
				t.Errorf("the accounts are %v and %v", Account(addr(c.a)), Account(addr(c.b)))
			}
			wantEnter(t, table, addr(c.a), Admitted)
			second := Admitted
			if c.same {
				second = Refused
			}
			wantEnter(t, table, addr(c.b), second)
			table.Leave(addr(c.a), Admitted)
			wantEnter(t, table, addr(c.a), Admitted)
			table.Leave(addr(c.b), second)
			table.Leave(addr(c.a), Admitted)
			wantLen(t, table, 0)
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
				wantEnter(t, c.table, c.addr, Uncounted)
			}
			wantLen(t, c.table, 0)
			for range 3 {
				c.table.Leave(c.addr, Uncounted)
			}
		})
	}
}

func TestLeaveWithoutEnter(t *testing.T) {
	table := New(1)
	wantEnter(t, table, addr("192.0.2.1"), Admitted)
	defer func() {
		if why, _ := recover().(string); !strings.Contains(why, "192.0.2.2 leaves but did not enter") {
			t.Errorf("panic: %q", why)
		}
		wantLen(t, table, 1)
		table.Leave(addr("192.0.2.1"), Admitted) // no lock is held
	}()
	table.Leave(addr("192.0.2.2"), Admitted)
}

// Long random runs, in storms and ebbs, against a map.
func TestModel(t *testing.T) {
	for _, limit := range []int{1, 3} {
		m := model{
			table:    New(limit),
			limit:    limit,
			sessions: make(map[netip.Prefix]int),
			refused:  make(map[netip.Prefix]int),
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
				wantLen(t, m.table, m.addresses())
			}
		}
		for len(m.inside) > 0 {
			m.leaves(len(m.inside) - 1)
		}
		wantLen(t, m.table, 0)
	}
}

// A guest is a connection that was counted.
type guest struct {
	addr netip.Addr
	seat Seat
}

// model says what a Table should.
type model struct {
	table    *Table
	limit    int
	sessions map[netip.Prefix]int
	refused  map[netip.Prefix]int
	inside   []guest
	random   *rand.Rand
}

func (m *model) enters(t *testing.T, a netip.Addr) {
	t.Helper()
	seat, of := TurnedAway, prefix(a)
	switch {
	case m.sessions[of] < m.limit:
		seat = Admitted
	case m.refused[of] < refusedAtOnce:
		seat = Refused
	}
	wantEnter(t, m.table, a, seat)
	if seat == TurnedAway {
		return
	}
	m.counted(seat)[of]++
	m.inside = append(m.inside, guest{a, seat})
}

func (m *model) leaves(i int) {
	g, last := m.inside[i], len(m.inside)-1
	m.inside[i] = m.inside[last]
	m.inside = m.inside[:last]
	m.table.Leave(g.addr, g.seat)
	counted := m.counted(g.seat)
	if counted[prefix(g.addr)]--; counted[prefix(g.addr)] == 0 {
		delete(counted, prefix(g.addr))
	}
}

func (m *model) counted(seat Seat) map[netip.Prefix]int {
	if seat == Admitted {
		return m.sessions
	}
	return m.refused
}

func (m *model) addresses() int {
	n := len(m.sessions)
	for of := range m.refused {
		if m.sessions[of] == 0 {
			n++
		}
	}
	return n
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
		wantEnter(t, table, nth(i), Admitted)
	}
	grown := heap() - before
	for i := range uint32(storm) {
		if i%100 != 0 {
			table.Leave(nth(i), Admitted)
		}
	}
	kept := heap() - before
	wantLen(t, table, storm/100)
	if grown < storm*int64(len(key{})) || kept > grown/10 {
		t.Errorf("the heap grew by %d bytes; %d are kept for a hundredth", grown, kept)
	}
	if n := testing.AllocsPerRun(1000, func() { table.Enter(nth(1)); table.Leave(nth(1), Admitted) }); n != 0 {
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
				seat := table.Enter(nth(i))
				if seat == Refused {
					seat = table.Promote(nth(i))
				}
				if seat != Admitted {
					table.Leave(nth(i), seat)
					continue
				}
				if n := inside[i].Add(1); n > limit {
					t.Errorf("%d sessions of one address", n)
				}
				if table.Len() > len(inside) {
					t.Error("more addresses than there are")
				}
				inside[i].Add(-1)
				table.Leave(nth(i), Admitted)
			}
		})
	}
	users.Wait()
	wantLen(t, table, 0)
}

func wantEnter(t *testing.T, table *Table, a netip.Addr, want Seat) {
	t.Helper()
	if got := table.Enter(a); got != want {
		t.Fatalf("%v enters: %v, want %v", a, got, want)
	}
}

func wantLen(t *testing.T, table *Table, want int) {
	t.Helper()
	if got := table.Len(); got != want {
		t.Fatalf("%d addresses, want %d", got, want)
	}
}
