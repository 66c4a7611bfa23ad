package backend

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// manyAddresses returns n addresses, with spaces between them.
func manyAddresses(n int) string {
	var all []string
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
	}
	return strings.Join(all, " ")
}

// A route tries each of many targets once, whichever rule chooses.
func TestRouteTriesEachOfManyTargetsOnce(t *testing.T) {
	const n = 100
	for by := range HashCookie + 1 {
		for _, down := range []int{0, n / 2, n} {
			upstreams, addresses := literals(n)
			r := newRig(t, upstreams, balance(by, "k"))
			for _, address := range addresses[:down] {
				fails(r.target(address))
			}
			tried, _ := r.routeAll(r.route(), errRefused)
			if !same(tried, addresses) {
				t.Errorf("rule %d, %d down: %d targets are tried, want each of the %d once", by, down, len(tried), n)
			}
		}
	}
}

// All addresses of a name are used, however many there are, and the same after a lookup that
// has found only one.
func TestNameWithManyAddresses(t *testing.T) {
	const n = 2000
	r := unwatched(t, []string{"ws://service.example"})
	r.names["service.example"] = manyAddresses(n)
	r.Watch()
	r.settles()
	wants := func(why string, want int) {
		t.Helper()
		up := 0
		for _, target := range *r.targets.Load() {
			if target.Up() {
				up++
			}
		}
		if up != want {
			t.Errorf("%s: %d addresses are in use and up, want %d", why, up, want)
		}
	}
	wants("all work", n)
	r.names["service.example"] = "10.0.0.1"
	r.passes(addressesFresh)
	wants("one is left", 1)
	r.names["service.example"] = manyAddresses(n)
	r.passes(addressesFresh)
	wants("all are back", n)
}

// What it costs to use the addresses of a name that has many.
func BenchmarkNameWithManyAddresses(b *testing.B) {
	addresses := manyAddresses(1000)
	for b.Loop() {
		r := unwatched(b, []string{"ws://service.example"})
		r.names["service.example"] = addresses
		r.Watch()
		r.settles()
	}
}

// What it costs a loop to go through many targets that all refuse, without the dials.
func BenchmarkRouteWhereAllRefuse(b *testing.B) {
	r := unwatched(b, []string{"ws://service.example"}, every(time.Hour))
	r.names["service.example"] = manyAddresses(500)
	r.Watch()
	r.settles()
	for _, t := range *r.targets.Load() {
		fails(t)
	}
	for b.Loop() {
		route := r.route()
		for route.Next(r.now) == Try {
			route.Better(r.now)
			route.Share(r.now)
			route.Missed(errRefused)
			route.To.Leave()
		}
	}
}
