package backend

import (
	"slices"
	"testing"
	"time"
)

// An upstream is drained by its name without the scheme, as a whole or by address.
func TestWhatIsDrained(t *testing.T) {
	upstreams := []string{"ws://one.example:81", "wss://two.example", "unix:///run/three.sock", "ws://192.0.2.9:82", "ws://[2001:db8::9]"}
	for _, test := range []struct {
		name, address string
		want          []string
	}{
		{"one.example:81", "", []string{"192.0.2.1:81", "192.0.2.2:81"}},
		{"one.example:81", "192.0.2.2:81", []string{"192.0.2.2:81"}},
		{"one.example:81", "192.0.2.3:81", nil},
		{"one.example", "", nil},
		{"two.example:443", "", []string{"[2001:db8::1]:443"}},
		{"two.example:443", "[2001:db8::1]:443", []string{"[2001:db8::1]:443"}},
		{"/run/three.sock", "", []string{"/run/three.sock"}},
		{"192.0.2.9:82", "", []string{"192.0.2.9:82"}},
		{"[2001:db8::9]:80", "", []string{"[2001:db8::9]:80"}},
		{"four.example:80", "", nil},
		{"", "", nil},
	} {
		r := unwatched(t, upstreams, func(cfg *Config) { cfg.Upstreams[1].TLS = trusting })
		r.names["one.example"] = "192.0.2.1 192.0.2.2"
		r.names["two.example"] = "2001:db8::1"
		r.Watch()
		r.settles()
		all := len(r.Targets())
		var got []string
		for _, drained := range r.SetDrained(test.name, test.address, true) {
			got = append(got, drained.address)
		}
		if !same(got, test.want) {
			t.Errorf("%s %s: %q are drained, want %q", test.name, test.address, got, test.want)
		}
		for _, s := range r.Targets() {
			want := slices.Contains(test.want, s.Address)
			if gauge, there := r.series("draining", s.Address); s.Draining != want || !there || (gauge == 1) != want {
				t.Errorf("%s %s: %s is drained: %v, its series is %v", test.name, test.address, s.Address, s.Draining, gauge)
			}
			r.wantsUp("a target that is drained is up all the same", s.Address, true)
		}
		if tried, _ := r.routeAll(r.route(), errRefused); len(tried) != all-len(test.want) || slices.ContainsFunc(tried, func(a string) bool { return slices.Contains(test.want, a) }) {
			t.Errorf("%s %s: a request tries %q", test.name, test.address, tried)
		}
	}
}

// The addresses that a drained name gets later are drained. Those of a name that was drained
// by address are not.
func TestNewAddressesOfADrainedName(t *testing.T) {
	for address, want := range map[string]bool{"": true, theOne: false} {
		r := unwatched(t, []string{"ws://service.example"})
		r.names["service.example"] = "192.0.2.1"
		r.Watch()
		r.settles()
		r.SetDrained("service.example:80", address, true)
		if r.Up() {
			t.Error("its only target is drained, and the pool takes requests")
		}
		r.names["service.example"] = "192.0.2.1 192.0.2.2"
		r.passes(addressesFresh)
		if got := r.target("192.0.2.2:80").drained.Load(); got != want {
			t.Errorf("drained by %q: the new address is drained: %v, want %v", address, got, want)
		}
		if r.Up() == want {
			t.Errorf("drained by %q: the pool is up: %v", address, r.Up())
		}
		r.SetDrained("service.example:80", "", false)
		r.names["service.example"] = "192.0.2.1 192.0.2.2 192.0.2.3"
		r.passes(addressesFresh)
		if tried, _ := r.routeAll(r.route(), errRefused); len(tried) != 3 {
			t.Errorf("drained by %q and resumed: %q are tried, want all three", address, tried)
		}
	}
}

// A name can be drained before it has an address.
func TestNameIsDrainedBeforeItIsFound(t *testing.T) {
	r := newRig(t, []string{"ws://service.example"})
	if all := r.SetDrained("service.example:80", "", true); len(all) != 0 {
		t.Errorf("%v are drained, and there is none", all)
	}
	r.names["service.example"] = "192.0.2.1"
	r.passes(addressesFresh)
	if !r.target(theOne).drained.Load() {
		t.Error("the address that has come is not drained")
	}
}

// A target that has gone stays drained, and can be resumed, while it has sessions.
func TestDrainedTargetThatGoes(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example"})
	r.names["service.example"] = "192.0.2.1"
	r.Watch()
	r.settles()
	s := r.opens(request(), aClient)
	r.names["service.example"] = "192.0.2.2"
	r.passes(addressesFresh)
	if all := r.SetDrained("service.example:80", theOne, true); len(all) != 1 || all[0] != s {
		t.Errorf("%v are drained, want the one that has gone", all)
	}
	r.names["service.example"] = "192.0.2.1 192.0.2.2"
	r.passes(addressesFresh)
	for range 20 {
		if to := r.firstOf(request(), aClient); to == theOne {
			t.Fatal("it has come back, and it is not drained any more")
		}
	}
	r.SetDrained("service.example:80", theOne, false)
	if tried, _ := r.routeAll(r.route(), nil); len(tried) != 2 {
		t.Errorf("it is resumed, and %q are tried", tried)
	}
}

// An address that was drained stays so if its name leads there no more for some time: it is
// gone while its host is maintained, and comes back with the host.
func TestDrainedAddressThatComesBack(t *testing.T) {
	const name, other = "service.example:80", "192.0.2.2:80"
	type said struct {
		address string
		drained bool
	}
	for why, test := range map[string]struct {
		before, meanwhile []said
		found, want       bool // whether the pool knows the address while it is gone, and whether it comes back drained
	}{
		"not drained":                             {nil, nil, false, false},
		"drained by address":                      {[]said{{theOne, true}}, nil, true, true},
		"drained twice":                           {[]said{{theOne, true}, {theOne, true}}, nil, true, true},
		"drained and resumed":                     {[]said{{theOne, true}, {theOne, false}}, nil, false, false},
		"resumed while it is gone":                {[]said{{theOne, true}}, []said{{theOne, false}}, true, false},
		"its name is resumed while it is gone":    {[]said{{theOne, true}}, []said{{"", false}}, true, false},
		"another one is resumed while it is gone": {[]said{{theOne, true}}, []said{{other, false}}, true, true},
		"its name is drained":                     {[]said{{"", true}}, nil, false, true},
		"its name is drained, and it is resumed":  {[]said{{"", true}, {theOne, false}}, nil, true, false},
		"its name is drained after it":            {[]said{{theOne, true}, {"", true}}, []said{{"", false}}, false, false},
	} {
		r := unwatched(t, []string{"ws://service.example"})
		r.names["service.example"] = "192.0.2.1 192.0.2.2"
		r.Watch()
		r.settles()
		for _, s := range test.before {
			r.SetDrained(name, s.address, s.drained)
		}
		r.names["service.example"] = "192.0.2.2"
		r.passes(addressesFresh)
		r.wantsTargets(why+": it is gone", other)
		if found := r.Has(name, theOne); found != test.found {
			t.Errorf("%s: it is gone, and the pool knows it: %v, want %v", why, found, test.found)
		}
		for _, s := range test.meanwhile {
			r.SetDrained(name, s.address, s.drained)
		}
		r.names["service.example"] = "192.0.2.1 192.0.2.2"
		r.passes(addressesFresh)
		if got := r.target(theOne).Drained(); got != test.want {
			t.Errorf("%s: it is back, and it is drained: %v, want %v", why, got, test.want)
		}
	}
}

// To drain twice, or to resume what is not drained, changes nothing: no slow start begins.
func TestResumeBeginsOneSlowStart(t *testing.T) {
	r := newRig(t, []string{"ws://" + theOne}, slowStart(30*time.Second))
	target := r.target(theOne)
	weighs := func(why string, want float64) {
		t.Helper()
		if got := target.weight(r.now); got != want {
			t.Errorf("%s: its weight is %v, want %v", why, got, want)
		}
	}
	r.SetDrained(theOne, "", false)
	weighs("it was not drained", 1)
	r.SetDrained(theOne, "", true)
	r.SetDrained(theOne, "", true)
	r.SetDrained(theOne, "", false)
	weighs("it is resumed", leastWeight)
	r.passes(15 * time.Second)
	weighs("half of the time is over", leastWeight+(1-leastWeight)/2)
	r.SetDrained(theOne, "", false)
	weighs("it was resumed already", leastWeight+(1-leastWeight)/2)
	r.passes(15 * time.Second)
	weighs("the time is over", 1)
	fails(target)
	target.Learn(nil)
	weighs("it was down", leastWeight)
}

// A target that is out of use is down after one check that has failed. So an operator who
// resumes it is told what it is.
func TestDrainedTargetGoesDownAtOnce(t *testing.T) {
	for drained, want := range map[bool]bool{true: false, false: true} {
		r := newRig(t, []string{"ws://" + theOne})
		r.SetDrained(theOne, "", drained)
		r.works[theOne] = false
		r.untilChecked()
		r.wantsUp("one check has failed", theOne, want)
	}
}
