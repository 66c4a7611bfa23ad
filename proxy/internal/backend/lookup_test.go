package backend

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// A name is looked up once for all who wait for it, and a waiter that leaves is not
// remembered.
func TestLookupIsShared(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example:81/app/"})
	r.names["service.example"] = "192.0.2.2 ::ffff:192.0.2.1 192.0.2.2"
	var told []int
	for i := range 10 {
		if step := r.route().Next(r.now); step != Wait {
			t.Fatalf("the first step is %d, want to wait", step)
		}
		forgo := r.Await(func() { told = append(told, i) })
		if i%2 == 0 {
			forgo()
		} else {
			defer forgo() // comes too late, and changes nothing
		}
	}
	if n := r.backends[0].lookup.waiting.Len(); n != 5 {
		t.Errorf("%d are remembered who wait, want 5", n)
	}
	r.settles()
	if want := []int{1, 3, 5, 7, 9}; !slices.Equal(told, want) {
		t.Errorf("%v are told, want %v", told, want)
	}
	if len(r.lookups) != 1 {
		t.Errorf("the name was looked up %d times, want once for all", len(r.lookups))
	}
	r.wantsTargets("each address is one target", "192.0.2.1:81", "192.0.2.2:81")
	if r.Await(func() { t.Error("a lookup has ended that was not under way") }) != nil {
		t.Error("nothing is looked up, and there is something to wait for")
	}
}

// A request waits until one name is found, and not for all.
func TestWaitForOneNameOfSeveral(t *testing.T) {
	for _, test := range []struct {
		found []string // the names, in the order in which their lookups end
		told  []bool   // whether the waiter is told after each
	}{
		{[]string{"one.example", "two.example", "three.example"}, []bool{true, true, true}},
		{[]string{"one.example", "", ""}, []bool{true, true, true}},
		{[]string{"", "two.example", ""}, []bool{false, true, true}},
		{[]string{"", "", "three.example"}, []bool{false, false, true}},
		{[]string{"", "", ""}, []bool{false, false, true}},
	} {
		r := unwatched(t, []string{"ws://one.example", "ws://two.example", "ws://three.example"})
		for _, name := range test.found {
			r.names[name] = "192.0.2.1"
		}
		route, told := r.route(), 0
		if route.Next(r.now) != Wait {
			t.Fatal("there is nothing to wait for")
		}
		r.Await(func() { told++ })
		for i, want := range test.told {
			job := r.beside[0]
			r.beside = r.beside[1:]
			if job(); told > 1 || (told == 1) != want {
				t.Errorf("%q: after %d lookups the waiter was told %d times, want it told: %v", test.found, i+1, told, want)
			}
		}
	}
}

// A lookup that panics is over for all who wait for it, and says nothing about the name.
func TestLookupPanics(t *testing.T) {
	panics := false
	r := unwatched(t, []string{"ws://service.example"}, every(0), func(cfg *Config) {
		find := cfg.Find
		cfg.Find = func(ctx context.Context, host string) ([]netip.Addr, error) {
			if panics {
				panic("in the resolver")
			}
			return find(ctx, host)
		}
	})
	panics = true
	route, told := r.route(), false
	route.Next(r.now)
	r.Await(func() { told = true })
	r.catches(0)
	if !told {
		t.Error("the waiter is not told")
	}
	if step := route.Next(r.now); step != End {
		t.Errorf("the next step is %d", step)
	}
	if _, err := route.Err(); OutcomeOf(err) != Faulty {
		t.Errorf("the lookup ends with %v, want a fault", err)
	}
	panics = false
	r.names["service.example"] = "192.0.2.1"
	r.routeAll(r.route(), nil)
	panics = true
	r.passes(addressesOld)
	if step := r.route().Next(r.now); step != Wait {
		t.Fatalf("the addresses are old, and the first step is %d", step)
	}
	r.catches(0)
	r.wantsTargets("the panic says nothing of the addresses", theOne)
}

// Addresses stay in use during a lookup, however long it takes: many names may wait for
// their turn, and the name servers may be silent.
func TestAddressesDoNotBecomeOldDuringALookup(t *testing.T) {
	for name, lost := range map[string]error{"no answer": errSilentServer, "an answer": nil} {
		r := newRig(t, []string{"ws://service.example"})
		r.names["service.example"] = "192.0.2.1"
		r.passes(addressesFresh)
		r.backends[0].lookUp()
		lookups := r.beside
		r.beside = nil // the lookup takes long
		r.passes(10 * addressesOld)
		if step := r.route().Next(r.now); step != Try {
			t.Errorf("%s: the lookup is under way, and the first step is %d, want a dial", name, step)
		}
		r.lost["service.example"] = lost
		r.names["service.example"] = "192.0.2.2"
		r.beside = append(lookups, r.beside...)
		r.settles()
		want := "192.0.2.2:80"
		if lost != nil {
			want = theOne
		}
		if first := r.firstOf(request(), aClient); first != want {
			t.Errorf("%s: the lookup has ended, and a request goes to %s, want %s", name, first, want)
		}
	}
}

// A name is looked up every 5 s while it is in use, and after a dial has failed.
func TestWhenANameIsLookedUp(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example"}, every(0))
	r.names["service.example"] = "192.0.2.1"
	wantsLookups := func(why string, in time.Duration, want int) {
		t.Helper()
		before := len(r.lookups)
		if r.passes(in); len(r.lookups)-before != want {
			t.Errorf("%s: there are %d lookups in %v, want %d", why, len(r.lookups)-before, in, want)
		}
	}
	r.Watch()
	wantsLookups("at the start, as a target must be found to be checked", 0, 1)
	r.passes(1) // the lookups come every 5 s from now on, and not at the edge
	wantsLookups("nobody uses it", addressesOld-2, 0)
	s := r.opens(request(), aClient)
	r.settles()
	wantsLookups("it has a session", time.Minute, 12)
	ends(s)
	wantsLookups("the session has ended", addressesOld-addressesFresh-2, 0)
	r.opens(request(), aClient).Leave() // the addresses are not fresh any more
	wantsLookups("a request comes", 0, 1)
	r.opens(request(), aClient).Leave()
	wantsLookups("another one comes at once", 0, 0)
	r.target(theOne).Learn(errRefused)
	wantsLookups("a dial has failed, and no other is made", 0, 0)
	r.opens(request(), aClient).Leave()
	wantsLookups("one is made", 0, 1)

	r.works[theOne] = false
	fails(r.target(theOne))
	wantsLookups("it is down and is checked: it may have moved", time.Minute, 12)
	r.names["service.example"] = "192.0.2.2"
	r.passes(addressesFresh)
	r.wantsUp("it has moved", "192.0.2.2:80", true)
	wantsLookups("it works", time.Minute, 0)

	r = unwatched(t, []string{"ws://service.example"}, every(time.Second))
	r.names["service.example"] = "192.0.2.1"
	r.Watch()
	r.passes(1)
	r.works[theOne] = false
	r.passes(2 * time.Second)
	r.opens(request(), aClient).Leave()
	wantsLookups("a check has failed, and a request comes", 0, 1)

	r = unwatched(t, []string{"ws://service.example"}, every(time.Hour))
	r.names["service.example"] = "192.0.2.1"
	r.Watch()
	wantsLookups("it is checked from time to time", time.Minute, 13)
}

// A service whose name appears only after the proxy was started is found, whatever the
// interval of the checks.
func TestNameThatAppearsLate(t *testing.T) {
	for _, interval := range []time.Duration{0, 10 * time.Second} {
		r := newRig(t, []string{"ws://service.example"}, every(interval))
		r.passes(time.Minute)
		if r.Up() {
			t.Error("the name is not found, and the pool is up")
		}
		r.names["service.example"] = "192.0.2.1"
		r.passes(addressesFresh)
		r.wantsUp("the name is found", theOne, true)
		r.wantsLines("it was not found", 1, "upstream is down: its name has no address")
		r.wantsLines("it is found", 1, "the upstream's name is found again")
	}
}

// While other upstreams work, a name that is not found is not looked up for each request.
func TestNameThatIsNotFoundBesideOthers(t *testing.T) {
	r := newRig(t, []string{"ws://service.example", "ws://" + theOne}, every(0))
	before := len(r.lookups)
	for range 100 {
		r.opens(request(), aClient)
		r.passes(10 * time.Millisecond)
	}
	if n := len(r.lookups) - before; n > 2 {
		t.Errorf("there are %d lookups for 100 requests in a second", n)
	}
}

// The log says once that lookups fail, what that leads to, and that they work again.
func TestLogOfLookups(t *testing.T) {
	r := newRig(t, []string{"ws://service.example"})
	const empty, kept, again = "upstream is down: its name has no address", "the addresses that were found before stay in use", "the upstream's name is found again"
	r.names["service.example"] = "192.0.2.1"
	for _, step := range []struct {
		why                string
		lost               error
		empty, kept, again int
	}{
		{"it was not found at the start", nil, 1, 0, 1},
		{"no answer", errSilentServer, 1, 1, 1},
		{"the server fails", errServerFails, 1, 1, 1},
		{"no such host", errNoHost, 2, 1, 1},
		{"the server fails, and no address was kept", errServerFails, 2, 1, 1},
		{"it works", nil, 2, 1, 2},
		{"no answer", errSilentServer, 2, 2, 2},
		{"it works", nil, 2, 2, 3},
		{"it goes on working", nil, 2, 2, 3},
	} {
		r.lost["service.example"] = step.lost
		r.passes(time.Minute)
		r.wantsLines(step.why, step.empty, empty)
		r.wantsLines(step.why, step.kept, kept)
		r.wantsLines(step.why, step.again, again)
	}
}

// A lookup that the end of the proxy cuts off is not worth a line.
func TestLookupEndsWithTheProxy(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	defer end()
	asked := make(chan struct{})
	jobs := make(chan struct{}, 10)
	r := unwatched(t, []string{"ws://service.example"})
	cfg := r.cfg
	cfg.Beside = func(job func()) { go func() { job(); jobs <- struct{}{} }() }
	cfg.Find = func(ctx context.Context, _ string) ([]netip.Addr, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p, err := NewPool(ended, cfg)
	if err != nil {
		t.Fatal(err)
	}
	route, told := p.Route(request(), aClient), make(chan struct{})
	route.Next(r.now)
	p.Await(func() { close(told) })
	<-asked
	end()
	<-told
	<-jobs
	if _, err := route.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("the lookup ends with %v", err)
	}
	if r.log.String() != "" {
		t.Errorf("the log says %s", r.log.String())
	}
}

// An upstream is shown without an address while its name leads to none, and says why. So
// each upstream is shown at any time.
func TestUpstreamWithoutAnAddressIsShown(t *testing.T) {
	const name = "service.example:80"
	r := unwatched(t, []string{"ws://service.example", "ws://192.0.2.9"})
	other := r.Targets()[1]
	if other.Address != "192.0.2.9:80" {
		t.Fatalf("the other upstream is shown as %+v", other)
	}
	wants := func(why, reason string, draining bool) {
		t.Helper()
		all := r.Targets()
		want := Status{Upstream: "ws://service.example:80", Draining: draining, Reason: reason}
		if len(all) != 2 || all[0] != want {
			t.Errorf("%s: the targets are %+v, want %+v and the other", why, all, want)
		}
		r.wantsTargets(why, "192.0.2.9:80")
	}
	wants("nobody has looked it up", "its name was not looked up yet", false)
	r.Watch()
	for len(r.beside) > 0 && !r.looksUp() {
		job := r.beside[0]
		r.beside = r.beside[1:]
		job()
	}
	wants("the first lookup is under way", "its name is being looked up", false)
	r.settles()
	const noHost = "lookup service.example: no such host"
	wants("the host is unknown", noHost, false)
	r.SetDrained(name, "", true)
	wants("it is drained", noHost, true)
	r.SetDrained(name, "", false)
	wants("it is resumed", noHost, false)
	r.lost["service.example"] = errServerFails
	r.passes(addressesFresh)
	wants("another error", errServerFails.Error(), false)

	r.lost["service.example"], r.names["service.example"] = nil, "192.0.2.1"
	r.passes(addressesFresh)
	r.wantsTargets("the name is found", theOne, "192.0.2.9:80")
	s := r.target(theOne)
	if !s.take() {
		t.Fatal("the target has gone")
	}
	r.names["service.example"] = ""
	r.passes(addressesFresh)
	r.wantsTargets("the old address has a session", "-"+theOne, "192.0.2.9:80")
	if all := r.Targets(); len(all) != 2 || all[0].Address != theOne || all[0].Reason != noHost {
		t.Errorf("the old address has a session: the targets are %+v, want it with the reason that its name has", all)
	}
	s.Leave()
	wants("the last session has ended", noHost, false)
}
