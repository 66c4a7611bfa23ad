package backend

import (
	"testing"
	"time"
)

// A name with both families, and how its addresses are shown.
const (
	both       = "127.0.0.1 ::1"
	four, six  = "127.0.0.1:9000", "[::1]:9000"
	downOfFour = "address=" + four
	downOfSix  = "address=" + six
)

// newLocalhost returns a rig whose name localhost has addresses of both families. The
// arguments say which of them work.
func newLocalhost(t *testing.T, fourWorks, sixWorks bool) *rig {
	t.Helper()
	r := unwatched(t, []string{"ws://localhost:9000"})
	r.names["localhost"] = both
	r.works[four], r.works[six] = fourWorks, sixWorks
	r.Watch()
	r.settles()
	return r
}

// While addresses of one family work, those of the other are not in use that have never
// worked, and the log does not tell of them.
func TestFamilyThatDoesNotWork(t *testing.T) {
	for _, test := range []struct {
		fourWorks, sixWorks bool
		want                string
	}{
		{true, false, four},
		{false, true, six},
	} {
		r := newLocalhost(t, test.fourWorks, test.sixWorks)
		for _, after := range []time.Duration{0, time.Minute, time.Hour} {
			r.passes(after)
			r.wantsTargets("one family works", test.want)
			r.wantsUp("one family works", test.want, true)
			r.wantsLines("nobody misses the other", 0, "upstream is down")
		}
		if tried, _ := r.routeAll(r.route(), nil); len(tried) != 1 || tried[0] != test.want {
			t.Errorf("a request tries %q, want %s alone", tried, test.want)
		}
	}
}

// Both families are in use if both work, and each is missed when it goes down.
func TestBothFamiliesWork(t *testing.T) {
	r := newLocalhost(t, true, true)
	r.wantsTargets("both work", four, six)
	r.works[six] = false
	fails(r.target(six))
	r.wantsTargets("one is down that has worked", four, six)
	r.wantsUp("one is down that has worked", six, false)
	r.wantsLines("one is down that has worked", 1, "upstream is down", downOfSix)
	r.passes(time.Minute)
	r.wantsTargets("it is still down", four, six)
}

// When the family goes down that works, the other is in use, and takes requests if it works.
func TestFamilyThatComesToWork(t *testing.T) {
	r := newLocalhost(t, true, false)
	r.works[four], r.works[six] = false, true
	fails(r.target(four))
	r.wantsTargets("the one that works went down", four, six)
	r.wantsLines("it was missed", 1, "upstream is down", downOfFour)
	if tried, _ := r.routeAll(r.route(), errRefused); !same(tried, []string{four, six}) {
		t.Errorf("a request tries %q, want both", tried)
	}
	r.passes(11 * time.Second)
	r.wantsUp("the other is found to work", six, true)
	if to := r.firstOf(request(), aClient); to != six {
		t.Errorf("a request goes to %s, want %s", to, six)
	}
	r.wantsLines("the other went not down", 0, "upstream is down", downOfSix)
	r.works[four] = true
	r.passes(11 * time.Second)
	r.wantsUp("both work now", four, true)
	r.wantsTargets("both have worked", four, six)
}

// A family that comes to work while the other does is used as well.
func TestSecondFamilyComesToWork(t *testing.T) {
	r := newLocalhost(t, true, false)
	r.works[six] = true
	r.passes(11 * time.Second)
	r.wantsTargets("the other works now", four, six)
	r.wantsUp("the other works now", six, true)
}

// An address to which a dial has come through is in use, and its sessions are shown, whatever
// a check of its path says.
func TestFamilyWithSessionsIsShown(t *testing.T) {
	r := unwatched(t, []string{"ws://localhost:9000"}, func(cfg *Config) { cfg.Health.Path = "/health" })
	r.names["localhost"] = both
	r.works[six] = false
	r.Watch()
	r.settles()
	r.wantsTargets("no dial has reached the other", four)
	r.target(six).Learn(nil)
	r.wantsTargets("a dial has", four, six)
	r.wantsUp("its path does not work", six, false)
}

// If neither works, both are in use and the log tells of both.
func TestNeitherFamilyWorks(t *testing.T) {
	r := newLocalhost(t, false, false)
	r.wantsTargets("neither works", four, six)
	r.wantsLines("neither works", 1, "upstream is down", downOfFour)
	r.wantsLines("neither works", 1, "upstream is down", downOfSix)
	if tried, _ := r.routeAll(r.route(), errRefused); !same(tried, []string{four, six}) {
		t.Errorf("a request tries %q, want both", tried)
	}
	r.passes(time.Minute)
	r.wantsLines("it is told once", 2, "upstream is down")
	r.works[four] = true
	r.passes(11 * time.Second)
	r.wantsTargets("one works now", four)
}

// Several addresses of the family that works stay in use even if some of them never did.
func TestAddressesOfTheFamilyThatWorks(t *testing.T) {
	r := unwatched(t, []string{"ws://localhost:9000"})
	r.names["localhost"] = both + " 127.0.0.2"
	r.works["127.0.0.2:9000"], r.works[six] = false, false
	r.Watch()
	r.settles()
	r.wantsTargets("one of two in IPv4 works", four, "127.0.0.2:9000")
	r.wantsLines("the other one is missed", 1, "upstream is down", "127.0.0.2:9000")
	r.wantsLines("IPv6 is not", 1, "upstream is down")
}
