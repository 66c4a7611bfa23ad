package backend

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An error names all targets that were tried, and what each has said.
func TestErrorOfARoute(t *testing.T) {
	upstreams, addresses := literals(3)
	r := newRig(t, upstreams, balance(RoundRobin, ""))
	route := r.route()
	errs := []error{errRefused, ErrTimeout, errors.New("tls: no certificate")}
	for _, err := range errs {
		if route.Next(r.now) != Try {
			t.Fatal("the targets have run out")
		}
		route.Missed(err)
		route.To.Leave()
	}
	if step := route.Next(r.now); step != End {
		t.Fatalf("the last step is %d", step)
	}
	resolved, err := route.Err()
	for i, each := range errs {
		if part := fmt.Sprintf("ws://%s: %v", addresses[i], each); !strings.Contains(err.Error(), part) || !errors.Is(err, each) {
			t.Errorf("the error is %q, want one with %q", err, part)
		}
	}
	if !resolved {
		t.Error("the targets have addresses, and the error is one of names")
	}
}

func TestErrorOfARouteWithOneTarget(t *testing.T) {
	r := newRig(t, []string{"ws://" + theOne})
	route := r.route()
	r.routeAll(route, errRefused)
	if resolved, err := route.Err(); !resolved || err != errRefused {
		t.Errorf("the error is %v (resolved: %v), want the dial's own", err, resolved)
	}
	r.SetDrained(theOne, "", true)
	route = r.route()
	if tried, _ := r.routeAll(route, errRefused); len(tried) > 0 {
		t.Errorf("%q is tried although it is drained", tried)
	}
	if resolved, err := route.Err(); !resolved || err != errAllOut || !errors.Is(err, ErrNoTarget) {
		t.Errorf("the error is %v (resolved: %v), want %v", err, resolved, errAllOut)
	}
}

// An error also names what an operator has taken out of use: a whole upstream once, or its
// addresses one by one. What is out of use does not change the outcome.
func TestErrorOfARouteNamesWhatIsOutOfUse(t *testing.T) {
	const (
		name, address = "service.example", "192.0.2.2:80"
		lookup        = "lookup lost.example: no such host"
		out           = "an operator has taken it out of use"
	)
	type drain struct{ name, address string }
	for why, test := range map[string]struct {
		drains   []drain
		lost     error // why lost.example is not found, if the error is not that of an unknown host
		resolved bool
		outcome  Outcome
		want     string
	}{
		"nothing": {nil, nil, true, Unreachable,
			"ws://lost.example:80: " + lookup + "; ws://service.example:80 (192.0.2.1:80): connect: connection refused; ws://service.example:80 (192.0.2.2:80): connect: connection refused"},
		"one address": {[]drain{{name + ":80", address}}, nil, true, Unreachable,
			"ws://service.example:80 (192.0.2.2:80): " + out + "; ws://lost.example:80: " + lookup + "; ws://service.example:80 (192.0.2.1:80): connect: connection refused"},
		"all addresses": {[]drain{{name + ":80", ""}}, nil, false, Unreachable,
			"ws://service.example:80: " + out + "; ws://lost.example:80: " + lookup},
		"all addresses, one by one": {[]drain{{name + ":80", address}, {name + ":80", theOne}}, nil, false, Unreachable,
			"ws://service.example:80: " + out + "; ws://lost.example:80: " + lookup},
		"all addresses, and no name server answers for the other": {[]drain{{name + ":80", ""}}, errSilentServer, false, Unanswered,
			"ws://service.example:80: " + out + "; ws://lost.example:80: " + errSilentServer.Error()},
		"the one without an address": {[]drain{{"lost.example:80", ""}}, nil, true, Unreachable,
			"ws://lost.example:80: " + out + "; ws://service.example:80 (192.0.2.1:80): connect: connection refused; ws://service.example:80 (192.0.2.2:80): connect: connection refused"},
		"both": {[]drain{{"lost.example:80", ""}, {name + ":80", ""}}, errSilentServer, true, Unreachable, errAllOut.Error()},
	} {
		r := unwatched(t, []string{"ws://service.example", "ws://lost.example"}, func(cfg *Config) { cfg.Balance.By = RoundRobin })
		r.names[name] = "192.0.2.1 192.0.2.2"
		r.lost["lost.example"] = test.lost
		r.Watch()
		r.settles()
		for _, d := range test.drains {
			r.SetDrained(d.name, d.address, true)
		}
		route := r.route()
		r.routeAll(route, errRefused)
		resolved, err := route.Err()
		if err.Error() != test.want || resolved != test.resolved || OutcomeOf(err) != test.outcome {
			t.Errorf("out of use is %s: the error is\n%v (resolved: %v, outcome %d), want\n%s (resolved: %v, outcome %d)",
				why, err, resolved, OutcomeOf(err), test.want, test.resolved, test.outcome)
		}
	}
}

// A target that was taken out of use while the request waited for its turn is named once.
func TestErrorOfARouteNamesATargetOnce(t *testing.T) {
	upstreams, addresses := literals(2)
	r := newRig(t, upstreams)
	route := r.route()
	if route.Next(r.now) != Try {
		t.Fatal("the targets have run out")
	}
	for _, address := range addresses {
		r.SetDrained(address, "", true)
	}
	route.Skipped(route.Amiss(r.now))
	route.To.Leave()
	waited := route.To.address
	if step := route.Next(r.now); step != End {
		t.Fatalf("the next step is %d", step)
	}
	_, err := route.Err()
	if n := strings.Count(err.Error(), waited); n != 1 || !strings.Contains(err.Error(), errDrained.Error()) || !strings.Contains(err.Error(), errOutOfUse.Error()) {
		t.Errorf("the error is %q, and names %s %d times", err, waited, n)
	}
}

// A request whose time is up while it waits for a lookup is told what is out of use.
func TestErrorOfALateRouteNamesWhatIsOutOfUse(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example", "ws://" + theOne})
	r.SetDrained(theOne, "", true)
	route := r.route()
	if step := route.Next(r.now); step != Wait {
		t.Fatalf("the first step is %d", step)
	}
	by := route.Begin(r.now)
	if step := route.Next(by); step != End {
		t.Fatalf("its time is up, and the next step is %d", step)
	}
	_, err := route.Err()
	if want := "ws://" + theOne + ": an operator has taken it out of use; no connection in time"; err.Error() != want || err.Error() != route.Late().Error() || OutcomeOf(err) != Unanswered {
		t.Errorf("the error is %q (outcome %d), want %q", err, OutcomeOf(err), want)
	}
}

// An address of a name is named with its upstream.
func TestErrorOfARouteNamesAddresses(t *testing.T) {
	r := unwatched(t, []string{"ws://service.example:81"})
	r.names["service.example"] = "192.0.2.1 2001:db8::1"
	r.Watch()
	r.settles()
	route := r.route()
	r.routeAll(route, errRefused)
	_, err := route.Err()
	for _, part := range []string{"ws://service.example:81 (192.0.2.1:81): connect", "ws://service.example:81 ([2001:db8::1]:81): connect"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, want one with %q", err, part)
		}
	}
}

// An error also names the upstreams whose names have no address.
func TestErrorOfARouteNamesWhatWasNotFound(t *testing.T) {
	r := newRig(t, []string{"ws://one.example", "ws://" + theOne, "ws://two.example"})
	route := r.route()
	if tried, _ := r.routeAll(route, errRefused); !slices.Equal(tried, []string{theOne}) {
		t.Errorf("%q are tried", tried)
	}
	resolved, err := route.Err()
	for _, part := range []string{"ws://one.example:80: lookup one.example: no such host", "ws://two.example:80: lookup", "ws://" + theOne + ": connect"} {
		if !strings.Contains(err.Error(), part) || !resolved {
			t.Errorf("the error is %q (resolved: %v), want one with %q", err, resolved, part)
		}
	}
	r.SetDrained(theOne, "", true)
	route = r.route()
	r.routeAll(route, errRefused)
	if resolved, err = route.Err(); resolved || !strings.Contains(err.Error(), "ws://one.example:80: lookup one.example") || !strings.Contains(err.Error(), "two.example") {
		t.Errorf("nothing can be tried: the error is %q (resolved: %v), want both names", err, resolved)
	}
}

// A lookup that ends when the time of the route is up leaves it without a dial. That is a
// lack of time, whatever the lookup has found.
func TestRouteWhoseTimeIsUpBeforeItsFirstDial(t *testing.T) {
	for _, addrs := range []string{"", "192.0.2.1"} {
		r := unwatched(t, []string{"ws://service.example"})
		r.names["service.example"] = addrs
		route := r.route()
		if step := route.Next(r.now); step != Wait {
			t.Fatalf("the first step is %d", step)
		}
		by := route.Begin(r.now)
		r.settles()
		if step := route.Next(by); step != End {
			t.Errorf("its time is up, and the next step is %d", step)
		}
		if resolved, err := route.Err(); err != ErrTimeout || resolved != (addrs != "") {
			t.Errorf("the name has %q, and the error is %v (resolved: %v)", addrs, err, resolved)
		}
	}
}

// One target that this host could not try leaves it open whether the service works, wherever
// it stands among the others. Otherwise the last one decides.
func TestOutcomeOfARoute(t *testing.T) {
	for _, test := range []struct {
		errs []error
		want Outcome
	}{
		{[]error{errRefused, errRefused, unix.EMFILE}, Unprovided},
		{[]error{unix.EMFILE, errRefused, ErrTimeout}, Unprovided},
		{[]error{errRefused, unix.EMFILE, errRefused}, Unprovided},
		{[]error{errRefused, ErrTimeout, errRefused}, Unreachable},
		{[]error{errRefused, errRefused, ErrTimeout}, Unanswered},
	} {
		upstreams, _ := literals(3)
		r := newRig(t, upstreams)
		route := r.route()
		for _, err := range test.errs {
			if route.Next(r.now) != Try {
				t.Fatal("the targets have run out")
			}
			route.Missed(err)
			route.To.Leave()
		}
		if _, err := route.Err(); OutcomeOf(err) != test.want {
			t.Errorf("after %v the outcome is %d, want %d", test.errs, OutcomeOf(err), test.want)
		}
	}
}
