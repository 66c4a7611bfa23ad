package backend

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
)

const theOne = "192.0.2.1:80"

// A proxy with a wrong upstream is not ready, even if no client comes.
func TestTargetIsDownUntilACheckWorks(t *testing.T) {
	r := unwatched(t, []string{"ws://" + theOne})
	r.works[theOne] = false
	r.wantsUp("nothing is known", theOne, false)
	r.Watch()
	r.settles()
	r.wantsUp("one check fails, and it has not worked before", theOne, false)
	r.wantsLines("its first check has failed", 1, "upstream is down", theOne, "connection refused")
	r.passes(recheck)
	r.wantsLines("the second has, too", 1, "upstream is down")
	r.works[theOne] = true
	r.passes(recheck)
	r.wantsUp("it works", theOne, true)
	r.wantsLines("it works", 1, "upstream is up", theOne)
}

// A target to which nobody connects is found to be down, and up again.
func TestIdleTargetIsChecked(t *testing.T) {
	r := newRig(t, []string{"ws://" + theOne})
	r.works[theOne] = false
	r.untilChecked()
	r.wantsUp("one failure may be an accident", theOne, true)
	r.passes(recheck)
	r.wantsUp("two checks have failed", theOne, false)
	r.wantsLines("it is down", 1, "upstream is down")
	r.works[theOne] = true
	r.passes(recheck)
	r.wantsUp("it works again", theOne, true)
	for _, works := range []bool{false, true, false} {
		r.works[theOne] = works
		r.untilChecked()
	}
	r.wantsUp("the failures were not in a row", theOne, true)
	r.wantsLines("it went down once", 1, "upstream is down")
}

// Checks of a target that works come at the interval, a tenth more or less. Many targets
// are not checked at one time.
func TestChecksAreJittered(t *testing.T) {
	upstreams, addresses := literals(200)
	r := newRig(t, upstreams)
	r.passes(9*time.Second - 1)
	if len(r.checks) != len(upstreams) {
		t.Errorf("%d checks are made in less than 9 s, want the %d of the start", len(r.checks), len(upstreams))
	}
	begin := r.now
	r.passes(2*time.Second + 1)
	var sum time.Duration
	at := map[heartbeat.Time]bool{}
	for _, c := range r.checks[len(upstreams):] {
		sum += c.at.Sub(begin)
		at[c.at] = true
	}
	for _, address := range addresses {
		if n := len(checked(r.checks, begin, address)); n != 1 {
			t.Errorf("%s is checked %d times from 9 to 11 s, want once", address, n)
		}
	}
	if mean := sum / time.Duration(len(upstreams)); mean < 800*time.Millisecond || mean > 1200*time.Millisecond {
		t.Errorf("the checks come at %v after 9 s in the mean, want about 1 s", mean)
	}
	if len(at) < len(upstreams)*9/10 {
		t.Errorf("the checks of %d targets come at %d times, want one time for each", len(upstreams), len(at))
	}
}

// The pause between the checks of a target that is down doubles, up to 30 s or the interval.
func TestRechecksBecomeRarer(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		interval time.Duration
		want     []time.Duration
	}{
		{0, []time.Duration{0, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 62 * s, 92 * s}},
		{time.Hour, []time.Duration{0, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 62 * s, 92 * s}},
		{10 * s, []time.Duration{0, 2 * s, 4 * s, 8 * s, 16 * s, 26 * s, 36 * s, 46 * s}},
		{s, []time.Duration{0, s, 2 * s, 3 * s, 4 * s, 5 * s, 6 * s, 7 * s}},
	} {
		r := unwatched(t, []string{"ws://" + theOne}, every(test.interval))
		r.works[theOne] = false
		begin := r.now
		r.Watch()
		r.passes(test.want[len(test.want)-1])
		if got := checked(r.checks, begin, theOne); !slices.Equal(got, test.want) {
			t.Errorf("with the interval %v the checks come after %v, want %v", test.interval, got, test.want)
		}
	}
}

// A check that was planned while the target worked does not hold up the check of one that
// dials have made down.
func TestDialsBringTheNextCheckForward(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Second, time.Hour} {
		r := newRig(t, []string{"ws://" + theOne}, every(interval))
		r.works[theOne] = false
		r.passes(time.Second)
		begin := r.now
		fails(r.target(theOne))
		r.target(theOne).Learn(errRefused)
		r.wantsUp("dials have failed", theOne, false)
		r.passes(4 * time.Second)
		if got := checked(r.checks, begin, theOne); !slices.Equal(got, []time.Duration{recheck, 2 * recheck}) {
			t.Errorf("with the interval %v the checks come after %v, want one every %v", interval, got, recheck)
		}
		r.works[theOne] = true
		r.passes(4 * time.Second)
		r.wantsUp("a check works", theOne, true)
		begin = r.now
		r.passes(3 * interval)
		if n := len(checked(r.checks, begin, theOne)); n < 2 || n > 4 {
			t.Errorf("with the interval %v there are %d checks in three of it: plans were doubled or lost", interval, n)
		}
	}
}

// A dial that comes through says as much as a check without a path.
func TestDialTakesThePlaceOfACheck(t *testing.T) {
	for path, want := range map[string]bool{"": false, "/health": true} {
		r := newRig(t, []string{"ws://" + theOne}, func(cfg *Config) { cfg.Health.Path = path })
		begin := r.now.Add(1)
		for range 12 {
			r.passes(4 * time.Second)
			r.target(theOne).Learn(nil)
		}
		if n := len(checked(r.checks, begin, theOne)); (n > 0) != want {
			t.Errorf("path %q: %d checks are made in 48 s of dials", path, n)
		}
		last := r.now
		r.passes(11 * time.Second)
		if n := len(checked(r.checks, last, theOne)); n != 1 {
			t.Errorf("path %q: %d checks are made in the 11 s after the last dial, want one", path, n)
		}
	}
}

// Three dials in a row that fail make a target down, whatever they fail with.
func TestDialsMakeATargetDown(t *testing.T) {
	noName := &net.DNSError{Err: "no such host", IsNotFound: true}
	for name, errs := range map[string][3]error{
		"refused":  {errRefused, errRefused, errRefused},
		"no name":  {noName, noName, noName},
		"no time":  {ErrTimeout, ErrTimeout, ErrTimeout},
		"mixed":    {errRefused, noName, ErrTimeout},
		"no proof": {errRefused, errRefused, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{"ws://" + theOne}, every(-1))
			target := r.target(theOne)
			r.wantsUp("there is nothing against it", theOne, true)
			target.Learn(errRefused)
			target.Learn(errRefused)
			target.Learn(nil)
			target.Learn(errs[0])
			target.Learn(errs[1])
			r.wantsUp("two dials in a row have failed", theOne, true)
			target.Learn(errs[2])
			if errs[2] == context.Canceled {
				r.wantsUp("a client that left says nothing", theOne, true)
				return
			}
			r.wantsUp("three dials have failed", theOne, false)
			target.Learn(errs[2])
			r.wantsUp("and a fourth", theOne, false)
			r.wantsLines("the log says it once", 1, "upstream is down")
			r.passes(recheck)
			r.wantsUp("a check has found it", theOne, true)
			target.Learn(errs[0])
			r.wantsUp("it counts anew", theOne, true)
		})
	}
}

// A target that is busy loses a check, but takes dials.
func TestBusyTargetIsNotDown(t *testing.T) {
	r := newRig(t, []string{"ws://" + theOne})
	for range 10 {
		r.works[theOne] = false
		r.untilChecked()
		r.target(theOne).Learn(nil)
		r.wantsUp("one check is lost, and a dial comes through", theOne, true)
	}
	r.wantsLines("it has worked all the time", 0, "upstream is down")
}

// Without an interval there is one check at the start, until it works.
func TestNoActiveChecks(t *testing.T) {
	r := unwatched(t, []string{"ws://" + theOne}, every(0))
	r.works[theOne] = false
	r.Watch()
	r.settles()
	r.wantsUp("it fails", theOne, false)
	r.works[theOne] = true
	r.passes(recheck)
	r.wantsUp("it works", theOne, true)
	r.passes(time.Hour)
	if len(r.checks) != 2 {
		t.Errorf("%d checks are made, want one that fails and one that works", len(r.checks))
	}
	r.works[theOne] = false
	fails(r.target(theOne))
	r.wantsUp("dials fail", theOne, false)
	r.works[theOne] = true
	r.passes(recheck)
	r.wantsUp("a target that is down is checked all the same", theOne, true)
}

// A dial brings a target back at once, but not if its path says otherwise.
func TestDialBringsATargetBack(t *testing.T) {
	for path, want := range map[string]bool{"": true, "/health": false} {
		r := newRig(t, []string{"ws://" + theOne}, func(cfg *Config) { cfg.Health.Path = path })
		fails(r.target(theOne))
		r.wantsUp("it is down", theOne, false)
		r.target(theOne).Learn(nil)
		r.wantsUp("path "+path, theOne, want)
	}
}

// A lack on this host says nothing of the target, so the check is made again.
func TestCheckThatThisHostCannotMake(t *testing.T) {
	var fault error
	r := newRig(t, []string{"ws://" + theOne}, func(cfg *Config) {
		probe := cfg.Probe
		cfg.Probe = func(t *Target) error {
			if err := probe(t); fault == nil {
				return err
			}
			return fault
		}
	})
	fault = unix.EMFILE
	r.passes(11 * time.Second)
	made := len(r.checks)
	r.passes(5 * recheck)
	if n := len(r.checks) - made; n != 5 {
		t.Errorf("%d checks are made in %v without descriptors, want 5", n, 5*recheck)
	}
	r.wantsUp("no descriptor is left", theOne, true)
}

// A check that panics is followed by another.
func TestCheckThatPanics(t *testing.T) {
	panics := false
	r := newRig(t, []string{"ws://" + theOne}, func(cfg *Config) {
		probe := cfg.Probe
		cfg.Probe = func(t *Target) error {
			if err := probe(t); !panics {
				return err
			}
			panic("in the check")
		}
	})
	panics = true
	r.catches(11 * time.Second)
	r.catches(recheck)
	r.wantsUp("two checks have panicked", theOne, true)
	panics = false
	made := len(r.checks)
	r.passes(recheck)
	if n := len(r.checks) - made; n != 1 {
		t.Errorf("%d checks are made in %v after one that has panicked, want one", n, recheck)
	}
}

// catches lets time pass until a job panics.
func (r *rig) catches(d time.Duration) {
	r.t.Helper()
	defer func() {
		if recover() == nil {
			r.t.Error("there is no panic")
		}
	}()
	r.passes(d)
}

// The checks of an address that has gone end, and begin again when it comes back.
func TestChecksOfAnAddressThatHasGone(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example"})
	r.names["service.example"] = "192.0.2.1 192.0.2.2"
	r.Watch()
	r.passes(time.Minute)
	lost := r.target(theOne)
	lost.take()
	r.names["service.example"] = "192.0.2.2"
	r.passes(addressesFresh)
	gone := r.now
	r.passes(time.Minute)
	if all := checked(r.checks, gone, theOne); len(all) != 0 {
		t.Errorf("it has gone, and is checked after %v", all)
	}
	if n := len(checked(r.checks, gone, "192.0.2.2:80")); n < 5 || n > 7 {
		t.Errorf("the other one is checked %d times in a minute", n)
	}
	r.works[theOne] = false
	fails(lost)
	r.passes(time.Minute)
	r.wantsLines("it is not checked, and nobody misses it", 0, "upstream is down")
	if all := checked(r.checks, gone, theOne); len(all) != 0 {
		t.Errorf("it has gone, sessions to it fail, and it is checked after %v", all)
	}
	r.works[theOne] = true
	r.names["service.example"] = "192.0.2.1 192.0.2.2"
	back := r.now
	r.passes(time.Minute)
	if n := len(checked(r.checks, back, theOne)); n < 5 || n > 7 {
		t.Errorf("it has come back, and is checked %d times in a minute", n)
	}
	if r.target(theOne) != lost {
		t.Error("it has come back as another target")
	}
	r.wantsUp("it has come back", theOne, true)
}

// Many targets are not all checked at once: each check has a descriptor.
func TestChecksAtOnce(t *testing.T) {
	upstreams, addresses := literals(4 * checksAtOnce)
	begun, goOn := make(chan string, len(upstreams)), make(chan struct{})
	var jobs sync.WaitGroup
	cfg := configOf(t, upstreams...)
	cfg.Beside = func(job func()) { jobs.Go(job) }
	cfg.Probe = func(t *Target) error {
		begun <- t.address
		<-goOn
		return nil
	}
	p := newPool(t, cfg)
	p.Watch()
	var all []string
	for range checksAtOnce {
		all = append(all, <-begun)
	}
	for range 1000 {
		runtime.Gosched() // the others may try
	}
	if n := len(begun); n > 0 {
		t.Errorf("%d checks are under way, want %d", checksAtOnce+n, checksAtOnce)
	}
	close(goOn)
	jobs.Wait()
	for len(begun) > 0 {
		all = append(all, <-begun)
	}
	if !same(all, addresses) {
		t.Errorf("%d checks are made, want one of each target: %q", len(all), all)
	}
}

// The end of the proxy ends the checks, those that wait for others included.
func TestChecksEndWithTheProxy(t *testing.T) {
	upstreams, _ := literals(2 * checksAtOnce)
	ended, end := context.WithCancel(t.Context())
	begun, goOn := make(chan struct{}, len(upstreams)), make(chan struct{})
	var jobs sync.WaitGroup
	cfg := configOf(t, upstreams...)
	cfg.Beside = func(job func()) { jobs.Go(job) }
	cfg.Probe = func(*Target) error {
		begun <- struct{}{}
		<-goOn
		return nil
	}
	p, err := NewPool(ended, cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Watch()
	for range checksAtOnce {
		<-begun
	}
	end()
	close(goOn)
	jobs.Wait()
	if n := len(begun); n > checksAtOnce {
		t.Errorf("%d more checks were made", n)
	}
}

// Those who wait for a target are told when it goes down, once each time.
func TestWhenATargetGoesDown(t *testing.T) {
	upstreams, addresses := literals(2)
	r := newRig(t, upstreams)
	var told []string
	r.WhenDown(func(t *Target) { told = append(told, t.address) })
	for range 2 {
		fails(r.target(addresses[1]))
		r.target(addresses[1]).Learn(errRefused)
		r.target(addresses[1]).Learn(nil)
	}
	if want := []string{addresses[1], addresses[1]}; !slices.Equal(told, want) {
		t.Errorf("%q are told to be down, want %q", told, want)
	}
}

// The failures of one target say nothing about another.
func TestEachTargetCountsItsOwnFailures(t *testing.T) {
	upstreams, addresses := literals(3)
	r := newRig(t, upstreams)
	for _, address := range addresses {
		r.target(address).Learn(errRefused)
	}
	for _, address := range addresses {
		r.wantsUp("one dial of each has failed", address, true)
	}
	fails(r.target(addresses[1]))
	for i, address := range addresses {
		r.wantsUp(fmt.Sprintf("target %d, where the second has failed", i), address, i != 1)
	}
	if !r.Up() {
		t.Error("two targets are up, and the pool is not")
	}
	fails(r.target(addresses[0]))
	fails(r.target(addresses[2]))
	if r.Up() {
		t.Error("all targets are down, and the pool is up")
	}
}

// While other checks wait, a target that is down gets a fifth of the time. One that is up
// gets all of it, so that a slow one is not made down in haste.
func TestSilentTargetsDoNotHoldUpChecks(t *testing.T) {
	cfg := configOf(t, "ws://"+fixture.Deaf(t).String(), "ws://192.0.2.1", "ws://192.0.2.2")
	cfg.AtOnce = 1
	cfg.DialTimeout = 100 * time.Millisecond
	p := newPool(t, cfg)
	silent, up := (*p.targets.Load())[0], (*p.targets.Load())[1]
	up.Learn(nil)
	wants := func(why string, target *Target, want time.Duration) {
		t.Helper()
		if got := target.within(cfg.DialTimeout); got != want {
			t.Errorf("%s: a check may take %v, want %v", why, got, want)
		}
	}
	wants("it is down, and no check waits", silent, cfg.DialTimeout)
	p.checking <- struct{}{} // a check is under way
	ended := make(chan error)
	go func() { ended <- silent.probe() }()
	for p.due.Load() == 0 {
		runtime.Gosched()
	}
	wants("it is down, and a check waits", silent, cfg.DialTimeout/leastShare)
	wants("it is up, and a check waits", up, cfg.DialTimeout)
	<-p.checking
	if err := <-ended; outcomeOf(err) != Unanswered {
		t.Errorf("the check of a silent target ends with %v", err)
	}
	wants("the check has ended", silent, cfg.DialTimeout)
}
