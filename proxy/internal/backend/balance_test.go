package backend

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/upgrade"
)

// keyed is a request whose field X-Key is hashed.
func keyed(key int) *upgrade.Request { return request("X-Key", strconv.Itoa(key)) }

// hashed returns a rig with n targets by the field X-Key.
func hashed(t *testing.T, n int, changes ...func(*Config)) (r *rig, addresses []string) {
	upstreams, addresses := literals(n)
	return newRig(t, upstreams, append(changes, balance(HashHeader, "X-Key"))...), addresses
}

// placed returns the address that each key goes to first.
func (r *rig) placed(keys int) []string {
	r.t.Helper()
	all := make([]string, keys)
	for key := range all {
		all[key] = r.firstOf(keyed(key), aClient)
	}
	return all
}

// firstOf returns the address that a request is dialled at first, and lets it leave.
func (r *rig) firstOf(req *upgrade.Request, client netip.Addr) string {
	r.t.Helper()
	route := r.Route(req, client)
	if step := route.Next(r.now); step != Try {
		r.t.Fatalf("the first step is %d, want a dial", step)
	}
	route.To.Leave()
	return route.To.address
}

// tally returns how many of the items are the same.
func tally(all []string) map[string]int {
	n := make(map[string]int)
	for _, item := range all {
		n[item]++
	}
	return n
}

// wantsShare wants a share of n random draws. It allows six standard deviations.
func wantsShare(t *testing.T, why string, got, n int, share float64) {
	t.Helper()
	mean := share * float64(n)
	if off := math.Abs(float64(got) - mean); off > 6*math.Sqrt(mean*(1-share))+1 {
		t.Errorf("%s: %d of %d, want about %.0f", why, got, n, mean)
	}
}

func TestHashSpreadsKeysEvenly(t *testing.T) {
	const keys = 20000
	for _, n := range []int{2, 3, 7, 16} {
		r, addresses := hashed(t, n)
		got := tally(r.placed(keys))
		for _, address := range addresses {
			wantsShare(t, fmt.Sprintf("%s of %d", address, n), got[address], keys, 1/float64(n))
		}
	}
}

// Keys of a lost target go to all others alike. All other keys stay, and when the target
// comes back all is as before.
func TestLostTargetMovesItsKeysAlone(t *testing.T) {
	const keys = 5000
	for _, n := range []int{2, 3, 5, 10} {
		r, addresses := hashed(t, n)
		before := r.placed(keys)
		for _, lose := range []struct {
			how        string
			lost, back func(*Target)
		}{
			{"down", fails, func(t *Target) { t.Learn(nil) }},
			{"drained", func(t *Target) { r.SetDrained(t.address, "", true) }, func(t *Target) { r.SetDrained(t.address, "", false) }},
		} {
			lost := addresses[rand.IntN(n)]
			lose.lost(r.target(lost))
			during, moved := r.placed(keys), 0
			heirs := map[string]int{}
			for key := range keys {
				switch {
				case during[key] == lost:
					t.Fatalf("key %d goes to %s, which is %s", key, lost, lose.how)
				case before[key] == lost:
					moved++
					heirs[during[key]]++
				case during[key] != before[key]:
					t.Errorf("%s of %d is %s: key %d moves from %s to %s", lost, n, lose.how, key, before[key], during[key])
				}
			}
			wantsShare(t, "keys that move", moved, keys, 1/float64(n))
			for _, heir := range addresses {
				if heir != lost {
					wantsShare(t, "keys that move to "+heir, heirs[heir], moved, 1/float64(n-1))
				}
			}
			lose.back(r.target(lost))
			if after := r.placed(keys); !slices.Equal(after, before) {
				t.Errorf("%s of %d is back from being %s, and its keys are not", lost, n, lose.how)
			}
		}
	}
}

// Proxies that have the same upstreams send the same key to the same one, in whatever order
// these are configured, and whatever each proxy has seen before.
func TestPoolsAgreeOnKeys(t *testing.T) {
	const keys = 2000
	one, _ := hashed(t, 9)
	one.passes(time.Minute)
	nine, _ := literals(9)
	other := newRig(t, nine, balance(HashHeader, "X-Key"), func(cfg *Config) {
		slices.Reverse(cfg.Upstreams)
		cfg.Random = rand.Uint64
	})
	if !slices.Equal(one.placed(keys), other.placed(keys)) {
		t.Error("two pools of the same upstreams do not agree")
	}
	fails(one.target(theOne))
	fails(other.target(theOne))
	if !slices.Equal(one.placed(keys), other.placed(keys)) {
		t.Error("two pools do not agree that have lost the same target")
	}
}

// During a slow start keys move to the target that has come back, ever more of them, until
// it has those that it had. No key moves between two others, and none moves away again.
func TestSlowStartMovesKeysToOneTarget(t *testing.T) {
	const keys, n = 5000, 4
	r, addresses := hashed(t, n, slowStart(30*time.Second))
	before := r.placed(keys)
	back := addresses[2]
	fails(r.target(back))
	last := r.placed(keys)
	r.target(back).Learn(nil)
	for age := time.Duration(0); age <= 30*time.Second; age += 3 * time.Second {
		now := r.placed(keys)
		for key := range keys {
			if now[key] != last[key] && now[key] != back {
				t.Errorf("after %v key %d moves from %s to %s", age, key, last[key], now[key])
			}
		}
		weight := 0.1 + 0.9*float64(age)/float64(30*time.Second)
		wantsShare(t, fmt.Sprintf("after %v", age), tally(now)[back], keys, weight/(weight+n-1))
		if got, was := tally(now)[back], tally(last)[back]; got <= was {
			t.Errorf("after %v the target has %d keys, and had %d", age, got, was)
		}
		last = now
		r.passes(3 * time.Second)
	}
	if !slices.Equal(r.placed(keys), before) {
		t.Error("after the slow start the keys are not where they were before")
	}
}

func TestKeysOfRequests(t *testing.T) {
	one, two := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	byHeader, byCookie, byIP := Balance{By: HashHeader, Name: "X-Tenant"}, Balance{By: HashCookie, Name: "sid"}, Balance{By: HashIP}
	type asked struct {
		r    *upgrade.Request
		from netip.Addr
	}
	for _, test := range []struct {
		why  string
		by   Balance
		a, b asked
		same bool
	}{
		{"one address", byIP, asked{request(), one}, asked{request("X-Tenant", "a", "Cookie", "sid=1"), one}, true},
		{"two addresses", byIP, asked{request(), one}, asked{request(), two}, false},
		{"an address in IPv6", byIP, asked{request(), one}, asked{request(), netip.MustParseAddr("::ffff:198.51.100.1")}, true},
		{"one /64", byIP, asked{request(), netip.MustParseAddr("2001:db8::1")}, asked{request(), netip.MustParseAddr("2001:db8::ffff:0:0:2")}, true},
		{"two /64", byIP, asked{request(), netip.MustParseAddr("2001:db8::1")}, asked{request(), netip.MustParseAddr("2001:db8:0:1::1")}, false},
		{"one tenant", byHeader, asked{request("X-Tenant", "a"), one}, asked{request("x-tenant", "a"), two}, true},
		{"two tenants", byHeader, asked{request("X-Tenant", "a"), one}, asked{request("X-Tenant", "b"), one}, false},
		{"no tenant, one address", byHeader, asked{request(), one}, asked{request("Cookie", "sid=1"), one}, true},
		{"no tenant, two addresses", byHeader, asked{request(), one}, asked{request(), two}, false},
		{"no tenant, one /64", byHeader, asked{request(), netip.MustParseAddr("2001:db8::1")}, asked{request(), netip.MustParseAddr("2001:db8::2")}, true},
		{"an empty tenant, one address", byHeader, asked{request("X-Tenant", ""), one}, asked{request(), one}, true},
		{"two fields", byHeader, asked{request("X-Tenant", "a", "X-Tenant", "b"), one}, asked{request("X-Tenant", "a"), one}, false},
		{"one cookie", byCookie, asked{request("Cookie", "sid=1"), one}, asked{request("Cookie", "a=b; sid=1; c=d"), two}, true},
		{"one cookie, on lines of its own", byCookie, asked{request("Cookie", "sid=1"), one}, asked{request("Cookie", "a=b", "Cookie", "sid=1"), two}, true},
		{"two cookies", byCookie, asked{request("Cookie", "sid=1"), one}, asked{request("Cookie", "sid=2"), one}, false},
		{"a cookie with an equals sign", byCookie, asked{request("Cookie", "sid=1=2"), one}, asked{request("Cookie", "sid=1"), one}, false},
		{"names of cookies have a case", byCookie, asked{request("Cookie", "SID=1"), one}, asked{request("Cookie", "SID=2"), one}, true},
		{"another cookie ends like it", byCookie, asked{request("Cookie", "xsid=1"), one}, asked{request("Cookie", "xsid=2"), one}, true},
		{"no cookie, one address", byCookie, asked{request(), one}, asked{request("Cookie", "a=b"), one}, true},
		{"no cookie, two addresses", byCookie, asked{request("Cookie", "a=b"), one}, asked{request("Cookie", "a=b"), two}, false},
		{"an empty cookie, one address", byCookie, asked{request("Cookie", "sid="), one}, asked{request(), one}, true},
		{"clients of a unix socket", byIP, asked{request(), netip.Addr{}}, asked{request(), netip.Addr{}}, true},
	} {
		if got := test.by.key(test.a.r, test.a.from) == test.by.key(test.b.r, test.b.from); got != test.same {
			t.Errorf("%s: the keys are the same: %v, want %v", test.why, got, test.same)
		}
	}
}

// After thousands of sessions with random ends no target has many more than another.
func TestLeastSessionsKeepsTargetsEven(t *testing.T) {
	for _, n := range []int{2, 3, 8} {
		upstreams, _ := literals(n)
		r := newRig(t, upstreams)
		var open []*Target
		for range 20000 {
			if len(open) < 100*n || rand.IntN(2) == 0 {
				open = append(open, r.opens(request(), aClient))
				continue
			}
			i := rand.IntN(len(open))
			ends(open[i])
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
		}
		mean := float64(len(open)) / float64(n)
		for _, s := range r.Targets() {
			if off := math.Abs(float64(s.Sessions) - mean); off > 10 {
				t.Errorf("of %d targets %s has %d sessions, the mean is %.0f", n, s.Address, s.Sessions, mean)
			}
		}
	}
}

// A target that is empty is filled up before those that have sessions, and handshakes on
// their way count as well.
func TestLeastSessionsFillsAnEmptyTarget(t *testing.T) {
	upstreams, addresses := literals(2)
	r := newRig(t, upstreams)
	for range 50 {
		r.target(addresses[1]).take()
	}
	for range 50 {
		if got := r.opens(request(), aClient); got.address != addresses[0] {
			t.Fatalf("the session goes to %s, which has more", got.address)
		}
	}
}

// Only two targets are looked at. An empty one of many is among them for two of n requests,
// so proxies that do not know of each other do not all send their clients there.
func TestLeastSessionsLooksAtTwoTargets(t *testing.T) {
	const n, draws = 8, 8000
	upstreams, addresses := literals(n)
	r := newRig(t, upstreams)
	for _, address := range addresses[1:] {
		r.target(address).take()
	}
	got := 0
	for range draws {
		if r.firstOf(request(), aClient) == addresses[0] {
			got++
		}
	}
	wantsShare(t, "the empty target", got, draws, 2.0/n)
}

func TestLeastSessionsBreaksTiesByChance(t *testing.T) {
	const n, draws = 4, 8000
	upstreams, addresses := literals(n)
	r := newRig(t, upstreams)
	var all []string
	for range draws {
		all = append(all, r.firstOf(request(), aClient))
	}
	for _, address := range addresses {
		wantsShare(t, address, tally(all)[address], draws, 1.0/n)
	}
}

func TestRoundRobinIsExactlyEven(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7} {
		upstreams, addresses := literals(n)
		r := newRig(t, upstreams, balance(RoundRobin, ""))
		for round := range 100 {
			var all []string
			for range n {
				all = append(all, r.opens(request(), aClient).address)
			}
			if !same(all, addresses) {
				t.Errorf("round %d of %d targets goes to %q", round, n, all)
			}
		}
	}
}

// A target that fails takes no turn away from others: requests begin with each as before,
// and those that go on are spread over all others.
func TestRoundRobinFailsOverEvenly(t *testing.T) {
	for _, n := range []int{2, 3, 4, 7} {
		failing := rand.IntN(n)
		upstreams, addresses := literals(n)
		r := newRig(t, upstreams, balance(RoundRobin, ""))
		others := slices.Delete(slices.Clone(addresses), failing, failing+1)
		var begun, all []string
		for range 300 {
			route := r.route()
			for route.Next(r.now) == Try {
				to := route.To
				to.Leave()
				if len(route.tried) == 0 {
					begun = append(begun, to.address)
				}
				if to.address != addresses[failing] {
					all = append(all, to.address)
					break
				}
				route.Skipped(errRefused) // after three that are missed it would be down
			}
		}
		why := fmt.Sprintf("%d of %d fails", failing, n)
		for i := 0; i+n <= len(begun); i += n {
			if !same(begun[i:i+n], addresses) {
				t.Fatalf("%s: requests begin with %q, want each once", why, begun[i:i+n])
			}
		}
		if len(all) != 300 {
			t.Errorf("%s: %d of 300 requests find a target", why, len(all))
		}
		for _, address := range others { // requests that begin there, and those that go on to it
			if off := math.Abs(float64(tally(all)[address]) - float64(len(all))/float64(n-1)); off > 2 {
				t.Errorf("%s: the requests go to %v", why, tally(all))
			}
		}
	}
}

// wantsEven wants the number of each address in all to differ by one at most.
func wantsEven(t *testing.T, why string, all, addresses []string) {
	t.Helper()
	got := tally(all)
	least, most := len(all), 0
	for _, address := range addresses {
		least, most = min(least, got[address]), max(most, got[address])
	}
	if most-least > 1 || len(got) > len(addresses) {
		t.Errorf("%s: the requests go to %v", why, got)
	}
}

// However many routes are under way at once, and wherever they go on to, new ones begin with
// each target in turn.
func TestRoundRobinOfRoutesThatAlternate(t *testing.T) {
	const n = 4
	upstreams, addresses := literals(n)
	r := newRig(t, upstreams, balance(RoundRobin, ""))
	var under []*Route
	var begun []string
	for range 4000 {
		if len(under) > 10 || len(under) > 0 && rand.IntN(3) > 0 {
			i := rand.IntN(len(under))
			if under[i].Skipped(errRefused); under[i].Next(r.now) == Try {
				under[i].To.Leave()
			} else {
				under = slices.Delete(under, i, i+1)
			}
			continue
		}
		route := r.route()
		if route.Next(r.now) != Try {
			t.Fatal("a route begins with no target")
		}
		route.To.Leave()
		under, begun = append(under, route), append(begun, route.To.address)
	}
	for i := 0; i+n <= len(begun); i += n {
		if !same(begun[i:i+n], addresses) {
			t.Fatalf("after %d requests the next begin with %q, want each target once", i, begun[i:i+n])
		}
	}
}

// A target that was away does not get the turns that it has missed.
func TestRoundRobinGivesNoMissedTurns(t *testing.T) {
	upstreams, addresses := literals(3)
	r := newRig(t, upstreams, balance(RoundRobin, ""))
	away := r.target(addresses[1])
	for _, lose := range []struct {
		how        string
		lost, back func()
	}{
		{"down", func() { fails(away) }, func() { away.Learn(nil) }},
		{"drained", func() { r.SetDrained(away.address, "", true) }, func() { r.SetDrained(away.address, "", false) }},
	} {
		lose.lost()
		var all []string
		for range 100 {
			all = append(all, r.opens(request(), aClient).address)
		}
		wantsEven(t, "one is "+lose.how, all, []string{addresses[0], addresses[2]})
		lose.back()
		all = nil
		for range 30 {
			all = append(all, r.opens(request(), aClient).address)
		}
		wantsEven(t, "it was "+lose.how, all, addresses)
	}
}

// The share of a target that has come back grows from a tenth of what the rule gives it to
// the whole, after it was down and after it was drained.
func TestSlowStartOfEachRule(t *testing.T) {
	const whole, draws = 30 * time.Second, 20000
	evenly := func(n int) func(weight float64) float64 {
		return func(weight float64) float64 { return weight / (weight + float64(n-1)) }
	}
	for _, test := range []struct {
		rule  Balance
		n     int
		share func(weight float64) float64
	}{
		{Balance{By: RoundRobin}, 2, evenly(2)},
		{Balance{By: RoundRobin}, 5, evenly(5)},
		{Balance{By: HashIP}, 2, evenly(2)},
		{Balance{By: HashHeader, Name: "X-Key"}, 5, evenly(5)},
		{Balance{By: HashCookie, Name: "sid"}, 3, evenly(3)},
		// A target with as many sessions as the others is drawn for 2 of n requests, and wins
		// half of them.
		{Balance{By: LeastSessions}, 2, func(weight float64) float64 { return weight / 2 }},
		{Balance{By: LeastSessions}, 5, func(weight float64) float64 { return weight / 5 }},
	} {
		upstreams, addresses := literals(test.n)
		r := newRig(t, upstreams, slowStart(whole), func(cfg *Config) { cfg.Balance = test.rule })
		back := addresses[test.n-1]
		comes := map[string]func(){
			"down":    func() { fails(r.target(back)); r.target(back).Learn(nil) },
			"drained": func() { r.SetDrained(back, "", true); r.SetDrained(back, "", false) },
		}
		for how, comeBack := range comes {
			comeBack()
			for _, age := range []time.Duration{0, whole / 4, whole / 2, whole * 3 / 4, whole, 2 * whole} {
				at := r.now.Add(age)
				got := r.drawn(at, draws)[back]
				weight := min(1, 0.1+0.9*float64(age)/float64(whole))
				wantsShare(t, fmt.Sprintf("%+v of %d targets, %v after it was %s", test.rule, test.n, age, how), got, draws, test.share(weight))
			}
			r.passes(2 * whole)
		}
	}
}

// drawn returns how many of so many requests of different clients begin with each address.
func (r *rig) drawn(at heartbeat.Time, n int) map[string]int {
	all := make([]string, n)
	for i := range n {
		client := netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)})
		route := r.Route(request("X-Key", strconv.Itoa(i), "Cookie", "sid="+strconv.Itoa(i)), client)
		if route.Next(at) != Try {
			r.t.Fatal("there is no target")
		}
		route.To.Leave()
		all[i] = route.To.address
	}
	return tally(all)
}

// Without a slow start, and at the start of the proxy, a target has its whole share at once.
func TestTargetsWithTheirWholeShare(t *testing.T) {
	upstreams, addresses := literals(2)
	r := newRig(t, upstreams, slowStart(30*time.Second), balance(RoundRobin, ""))
	if got := r.drawn(r.now, 1000)[addresses[1]]; got != 500 {
		t.Errorf("at the start %d of 1000 requests go to a target, want 500", got)
	}
	r = newRig(t, upstreams, balance(RoundRobin, ""))
	fails(r.target(addresses[1]))
	r.target(addresses[1]).Learn(nil)
	if got := r.drawn(r.now, 1000)[addresses[1]]; got != 500 {
		t.Errorf("without a slow start %d of 1000 requests go to a target that is back, want 500", got)
	}
}
