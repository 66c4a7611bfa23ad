package backend

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/heartbeat"
)

// Whatever has happened to the targets, a route tries each one at most once: first those
// that are up, then those that are down, and never one that is drained.
func TestOrderOfARoute(t *testing.T) {
	for range 300 {
		n := 1 + rand.IntN(8)
		upstreams, addresses := literals(n)
		r := newRig(t, upstreams, balance(BalanceBy(rand.IntN(int(HashCookie)+1)), "X-Key"))
		var up, down []string
		for _, address := range addresses {
			switch rand.IntN(4) {
			case 0:
				fails(r.target(address))
				down = append(down, address)
			case 1:
				if rand.IntN(2) == 0 {
					fails(r.target(address))
				}
				r.SetDrained(address, "", true)
			default:
				up = append(up, address)
			}
		}
		tried, waits := r.routeAll(r.route(), errRefused)
		if len(tried) != len(up)+len(down) || waits != 0 || !same(tried[:len(up)], up) || !same(tried[len(up):], down) {
			t.Errorf("with %+v: up %q, down %q of %d: the route tries %q, and waits %d times", r.cfg.Balance, up, down, n, tried, waits)
		}
	}
}

// A route that begins while all targets are up goes on as it is when it goes on.
func TestRouteSeesWhatHappensMeanwhile(t *testing.T) {
	upstreams, addresses := literals(4)
	r := newRig(t, upstreams, balance(RoundRobin, ""))
	route := r.route()
	wantsTry(t, route, r.now, addresses[0])
	fails(r.target(addresses[1]))
	r.SetDrained(addresses[2], "", true)
	route.Missed(errRefused)
	wantsTry(t, route, r.now, addresses[3])
	route.Missed(errRefused)
	wantsTry(t, route, r.now, addresses[1])
	r.SetDrained(addresses[2], "", false)
	route.Missed(errRefused)
	wantsTry(t, route, r.now, addresses[2])
	route.Missed(errRefused)
	if step := route.Next(r.now); step != End {
		t.Errorf("all were tried, and the next step is %d", step)
	}
}

func wantsTry(t *testing.T, route *Route, now heartbeat.Time, address string) {
	t.Helper()
	if step := route.Next(now); step != Try || route.To.address != address {
		t.Fatalf("the next step is %d to %v, want a dial to %s", step, route.To, address)
	}
	route.To.Leave()
}

// Each target gets an even share of the time that is left. One whose queue is full is tried
// again within its share, and the others wait.
func TestSharesOfTheTime(t *testing.T) {
	upstreams, addresses := literals(3)
	r := newRig(t, upstreams, balance(RoundRobin, ""), func(cfg *Config) { cfg.DialTimeout = 30 * time.Second })
	route, begin := r.route(), r.now
	wants := func(why string, at, share time.Duration, address string) {
		t.Helper()
		now := begin.Add(at)
		wantsTry(t, route, now, address)
		if route.Share(now); route.Until != now.Add(share) {
			t.Errorf("%s: it is tried for %v, want %v", why, route.Until.Sub(now), share)
		}
	}
	wants("a third", 0, 10*time.Second, addresses[0])
	if again := route.Full(begin); again != begin.Add(queueFullPause) {
		t.Errorf("a full queue is tried again after %v, want %v", again.Sub(begin), queueFullPause)
	}
	if late := route.Until.Add(-1); route.Full(late) != route.Until {
		t.Errorf("a full queue is tried again at %v, want the end of the share", route.Full(late))
	}
	route.Missed(ErrTimeout)
	wants("what the first has left is for both", time.Second, 14500*time.Millisecond, addresses[1])
	route.Missed(ErrTimeout)
	wants("all that is left", 2*time.Second, 28*time.Second, addresses[2])
	if by := route.Begin(r.now.Add(time.Minute)); by != begin.Add(30*time.Second) {
		t.Errorf("the route's time ends after %v, want 30 s from its begin", by.Sub(begin))
	}
	route.Missed(ErrTimeout)
	if step := route.Next(begin.Add(30 * time.Second)); step != End {
		t.Errorf("after its time the next step is %d", step)
	}
}

// A target that does not answer leaves time for others, and each has at least a fifth of
// the whole. The route ends in time however many there are.
func TestDeafTargetsLeaveTime(t *testing.T) {
	const whole = 5 * time.Second
	for n, want := range map[int][]time.Duration{
		1: {5 * time.Second},
		2: {2500 * time.Millisecond, 2500 * time.Millisecond},
		5: {time.Second, time.Second, time.Second, time.Second, time.Second},
		9: {time.Second, time.Second, time.Second, time.Second, time.Second},
	} {
		upstreams, _ := literals(n)
		r := newRig(t, upstreams)
		route, now := r.route(), r.now
		var got []time.Duration
		for route.Next(now) == Try {
			route.Share(now)
			got = append(got, route.Until.Sub(now))
			now = route.Until
			route.Missed(ErrTimeout)
			route.To.Leave()
		}
		if !slices.Equal(got, want) || now != r.now.Add(whole) {
			t.Errorf("%d targets that do not answer are tried for %v, %v in all; want %v", n, got, now.Sub(r.now), want)
		}
	}
}

// The time that a route waits in a queue is not the time of its dials.
func TestTimeOfARouteBeginsWithItsFirstDial(t *testing.T) {
	r := newRig(t, []string{"ws://" + theOne})
	route := r.route()
	wantsTry(t, route, r.now, theOne)
	now := r.now.Add(time.Minute)
	route.Share(now)
	if route.Until != now.Add(r.cfg.DialTimeout) {
		t.Errorf("after a minute in the queue the dial may last %v, want %v", route.Until.Sub(now), r.cfg.DialTimeout)
	}
}

// While a request waits for a place at a target, the target may go down, and another one may
// take it. A target that is down as well is not better.
func TestBetterTarget(t *testing.T) {
	upstreams, addresses := literals(3)
	r := newRig(t, upstreams, balance(RoundRobin, ""))
	route := r.route()
	wantsTry(t, route, r.now, addresses[0])
	for _, step := range []struct {
		why  string
		do   func()
		want bool
	}{
		{"all are up", func() {}, false},
		{"it went down", func() { fails(r.target(addresses[0])) }, true},
		{"one other is drained", func() { r.SetDrained(addresses[1], "", true) }, true},
		{"no other is up", func() { fails(r.target(addresses[2])) }, false},
		{"another is up again", func() { r.target(addresses[2]).Learn(nil) }, true},
		{"it is up again itself", func() { r.target(addresses[0]).Learn(nil) }, false},
	} {
		if step.do(); route.Better(r.now) != step.want {
			t.Errorf("%s: another one is better: %v, want %v", step.why, !step.want, step.want)
		}
	}
	fails(r.target(addresses[0]))
	route.Skipped(errWentAway)
	wantsTry(t, route, r.now, addresses[2])
	route.Missed(errRefused)
	fails(r.target(addresses[2]))
	if route.Better(r.now) {
		t.Error("a target that was tried already is better")
	}
}

// A route waits for lookups once, until one has found an address.
func TestRouteWaitsOnce(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example"})
	route := r.route()
	if tried, waits := r.routeAll(route, errRefused); len(tried) != 0 || waits != 1 {
		t.Errorf("the name has no address: %q are tried after %d waits, want one wait", tried, waits)
	}
	resolved, err := route.Err()
	if resolved || err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("the error is %v (resolved: %v), want the lookup's", err, resolved)
	}
	r.names["service.example"] = "192.0.2.1 192.0.2.2"
	if tried, waits := r.routeAll(r.route(), errRefused); len(tried) != 2 || waits != 1 {
		t.Errorf("the name is found: %q are tried after %d waits, want both after one", tried, waits)
	}
	if len(r.lookups) != 2 {
		t.Errorf("there were %d lookups, want one for each route", len(r.lookups))
	}
}

// A route that has tried all goes on to addresses that a lookup finds meanwhile: the service
// may have moved.
func TestRouteGoesOnToNewAddresses(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example"})
	r.names["service.example"] = "192.0.2.1"
	r.Watch()
	r.passes(addressesFresh / 2)
	r.names["service.example"] = "192.0.2.2"
	r.target(theOne).Learn(errRefused) // so the next route looks the name up
	tried, waits := r.routeAll(r.route(), errRefused)
	if !slices.Equal(tried, []string{theOne, "192.0.2.2:80"}) || waits != 1 {
		t.Errorf("%q are tried after %d waits, want the old address, a wait and the new one", tried, waits)
	}
}

// Addresses that are old are not used before a lookup has ended, and are used if it fails.
func TestOldAddressesAreNotUsed(t *testing.T) {
	for name, test := range map[string]struct {
		age   time.Duration
		lost  error
		tried []string // after a dial has failed, the name is looked up again
	}{
		"fresh":                   {0, nil, []string{"192.0.2.1:80", "192.0.2.2:80"}},
		"not old yet":             {addressesOld - 1, nil, []string{"192.0.2.1:80", "192.0.2.2:80"}},
		"old":                     {addressesOld, nil, []string{"192.0.2.2:80"}},
		"old, and not found":      {addressesOld, errNoHost, nil},
		"old, no answer":          {addressesOld, errSilentServer, []string{"192.0.2.1:80"}},
		"old, the server fails":   {addressesOld, errServerFails, []string{"192.0.2.1:80"}},
		"fresh, the server fails": {0, errServerFails, []string{"192.0.2.1:80"}},
	} {
		r := unwatched(t, []string{"ws://service.example"}, every(0))
		r.names["service.example"] = "192.0.2.1"
		r.routeAll(r.route(), nil)
		looked := len(r.lookups)
		r.names["service.example"] = "192.0.2.2"
		r.lost["service.example"] = test.lost
		r.passes(test.age)
		tried, waits := r.routeAll(r.route(), errRefused)
		if !slices.Equal(tried, test.tried) || waits != 1 {
			t.Errorf("%s: %q are tried with %d waits, want %q with one", name, tried, waits, test.tried)
		}
		if n := len(r.lookups) - looked; n != 1 {
			t.Errorf("%s: there were %d lookups, want one", name, n)
		}
	}
}

// Each name has its own lookup. A route whose first answer leads nowhere waits for the next
// one, and does not use the old addresses of that name meanwhile.
func TestRouteWaitsForTheNextName(t *testing.T) {
	for _, lost := range []error{nil, errSilentServer} {
		r := unwatched(t, []string{"ws://one.example", "ws://two.example"}, balance(RoundRobin, ""), every(0))
		r.names["one.example"], r.names["two.example"] = "192.0.2.1", "192.0.2.2"
		r.routeAll(r.route(), nil)
		r.settles()
		r.passes(addressesOld)
		r.names["two.example"] = "192.0.2.3"
		r.lost["two.example"] = lost
		want := "192.0.2.3:80"
		if lost != nil {
			want = "192.0.2.2:80" // its lookup has failed, so the old one stays in use
		}
		route := r.route()
		answers := func(why string) {
			t.Helper()
			if step := route.Next(r.now); step != Wait {
				t.Fatalf("%s: the next step is %d, want to wait", why, step)
			}
			job := r.beside[0]
			r.beside = r.beside[1:]
			job()
		}
		answers("both names are old")
		wantsTry(t, route, r.now, "192.0.2.1:80")
		route.Missed(errRefused)
		answers("the first name leads nowhere")
		wantsTry(t, route, r.now, want)
		route.Missed(errRefused)
		if step := route.Next(r.now); step != End {
			t.Errorf("all were tried, and the next step is %d", step)
		}
	}
}

// An address that leaves its name's answers while a route has it in mind is not dialled.
func TestRouteDoesNotTakeATargetThatHasGone(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example"})
	r.names["service.example"] = "192.0.2.1"
	r.Watch()
	r.settles()
	gone := r.target(theOne)
	r.names["service.example"] = "192.0.2.2"
	r.passes(addressesFresh)
	if gone.take() || gone.load.Load() != 0 {
		t.Error("a target that has gone is taken, or counts a handshake")
	}
	if tried, _ := r.routeAll(r.route(), errRefused); !slices.Equal(tried, []string{"192.0.2.2:80"}) {
		t.Errorf("%q are tried, want the address that is left", tried)
	}
}
