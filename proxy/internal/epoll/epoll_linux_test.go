package epoll

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newPair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func newPoller(t *testing.T) *Poller {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func poll(t *testing.T, p *Poller) []Event {
	t.Helper()
	events, err := p.Poll()
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestPollReportsWhatIsWanted(t *testing.T) {
	p := newPoller(t)
	a, b := newPair(t)
	const token = Token(0xfedc_ba98_7654_3210) // all 64 bits come back
	if err := p.Add(a, token, In); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, p); len(got) != 0 {
		t.Fatalf("nothing was sent, yet %v is ready", got)
	}
	unix.Write(b, []byte("x"))
	for range 2 { // level-triggered: it is said again until it is read
		got := poll(t, p)
		if len(got) != 1 || got[0].Token != token || got[0].Ready&In == 0 {
			t.Fatalf("ready = %v, want %v readable", got, token)
		}
	}
	if err := p.Modify(a, token, Out); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, p); len(got) != 1 || got[0].Ready != Out {
		t.Fatalf("ready = %v, want writable alone", got)
	}
	if err := p.Remove(a); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, p); len(got) != 0 {
		t.Fatalf("removed, yet %v is ready", got)
	}
}

func TestParkWakesForBytes(t *testing.T) {
	p := newPoller(t)
	a, b := newPair(t)
	if err := p.Add(a, 7, In); err != nil {
		t.Fatal(err)
	}
	calls := 0
	p.Try = func() bool {
		if calls++; calls == 1 {
			unix.Write(b, []byte("x")) // arrives after the look and before the sleep
			return false
		}
		return len(poll(t, p)) > 0
	}
	if ready, err := p.Park(time.Time{}); err != nil || !ready {
		t.Fatalf("Park = %v, %v", ready, err)
	}
}

func TestParkEndsAtItsAlarm(t *testing.T) {
	p := newPoller(t)
	p.Try = func() bool { return false }
	for range 2 { // an alarm that went off must be set anew
		if ready, err := p.Park(time.Now().Add(time.Millisecond)); err != nil || ready {
			t.Fatalf("Park = %v, %v, want a timeout", ready, err)
		}
	}
}

// An alarm that went off must not end a later Park that has none.
func TestParkSleepsAfterAnAlarm(t *testing.T) {
	p := newPoller(t)
	p.Try = func() bool { return false }
	if ready, err := p.Park(time.Now().Add(time.Millisecond)); err != nil || ready {
		t.Fatalf("Park = %v, %v, want a timeout", ready, err)
	}
	looks := 0
	p.Try = func() bool {
		if looks++; looks == 1 {
			go p.Wake()
			return false
		}
		return len(poll(t, p)) > 0
	}
	if ready, err := p.Park(time.Time{}); err != nil || !ready {
		t.Fatalf("Park = %v, %v after %d looks, want it to sleep until it is woken", ready, err, looks)
	}
}

// A Loiter is for what comes soon; after each event it waits for as long again.
func TestLoiterEndsWhenNothingComes(t *testing.T) {
	p := newPoller(t)
	a, b := newPair(t)
	if err := p.Add(a, 7, In); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the guard can be set again
		unix.Write(b, []byte("x"))
		got := loiter(t, p)
		if len(got) != 1 || got[0].Token != 7 {
			t.Fatalf("ready = %v, want what was sent", got)
		}
		unix.Read(a, make([]byte, 1))
		if got := loiter(t, p); len(got) != 0 {
			t.Fatalf("ready = %v, want nothing", got)
		}
	}
}

// loiter calls Loiter until it has something to tell, or nothing more.
func loiter(t *testing.T, p *Poller) []Event {
	t.Helper()
	for {
		ready, more, err := p.Loiter()
		if err != nil {
			t.Fatal(err)
		}
		if !more || len(ready) > 0 {
			return ready
		}
	}
}

func TestLoiterIsWokenByBytesAndByWake(t *testing.T) {
	Employ(1) // or the goroutines below would have to wait
	defer Employ(-1)
	for _, stir := range []func(p *Poller, fd int){
		func(_ *Poller, fd int) { unix.Write(fd, []byte("x")) },
		func(p *Poller, _ int) { p.Wake() },
	} {
		p := newPoller(t)
		a, b := newPair(t)
		if err := p.Add(a, 7, In); err != nil {
			t.Fatal(err)
		}
		go stir(p, b)
		for len(loiter(t, p)) == 0 { // the goroutine may be slower than Patience
		}
	}
}

// What the guard leaves behind must not end a Park, nor what came in a Loiter.
func TestParkSleepsAfterALoiter(t *testing.T) {
	for name, before := range map[string]func(p *Poller){
		"that ended":        func(p *Poller) { loiter(t, p) },
		"whose guard is on": func(p *Poller) { p.Wake(); loiterOnce(t, p) },
		"whose guard has rung in a Poll": func(p *Poller) {
			for p.setGuard(1); !p.guard.rang; {
				poll(t, p)
			}
		},
	} {
		p := newPoller(t)
		before(p)
		looks := 0
		p.Try = func() bool {
			looks++
			return len(poll(t, p)) > 0
		}
		ready, err := p.Park(time.Now().Add(2 * Patience))
		if err != nil || ready {
			t.Errorf("after a Loiter %s: Park = %v, %v, want a timeout", name, ready, err)
		}
		if looks > 1 {
			t.Errorf("after a Loiter %s: Park woke up %d times for nothing", name, looks-1)
		}
	}
}

// Events that a Loiter handles must not reach the Go runtime's poller.
func TestGateIsShutOutsidePark(t *testing.T) {
	p := newPoller(t)
	a, b := newPair(t)
	if err := p.Add(a, 7, In); err != nil {
		t.Fatal(err)
	}
	unix.Write(b, []byte("x"))
	wants := func(when string, ready bool) {
		t.Helper()
		gate := []unix.PollFd{{Fd: int32(p.parking.gate), Events: unix.POLLIN}}
		if n, err := unix.Poll(gate, 0); err != nil || (n == 1) != ready {
			t.Errorf("%s the gate is ready: %v, %v; want %v", when, n == 1, err, ready)
		}
	}
	wants("before a Park", false)
	p.Try = func() bool {
		wants("in a Park", true)
		return len(poll(t, p)) > 0
	}
	if ready, err := p.Park(time.Time{}); err != nil || !ready {
		t.Fatalf("Park = %v, %v", ready, err)
	}
	wants("after a Park", false)
}

func TestProcessorsForLoiterers(t *testing.T) {
	defer func(n int) { Processors = n }(Processors)
	for _, c := range []struct{ start, loiterers, want int }{
		{1, 1, 2},
		{2, 2, 3},
		{8, 8, 12},
		{8, 2, 8},
		{2, 6, 9}, // several in one process
		{2, 0, 2},
	} {
		Processors = c.start
		if got := processorsFor(c.loiterers); got != c.want {
			t.Errorf("%d processors at the start and %d loiterers: %d, want %d", c.start, c.loiterers, got, c.want)
		}
	}
}

func loiterOnce(t *testing.T, p *Poller) {
	if _, _, err := p.Loiter(); err != nil {
		t.Fatal(err)
	}
}

func TestWakeFromAnotherGoroutine(t *testing.T) {
	p := newPoller(t)
	for range 3 { // a wake is cleared by the Poll that saw it
		go p.Wake()
		woken := false
		p.Try = func() bool {
			for _, ev := range poll(t, p) {
				woken = woken || ev.Woken()
			}
			return woken
		}
		_, err := p.Park(time.Time{})
		if err != nil || !woken {
			t.Fatalf("woken = %v, %v", woken, err)
		}
	}
}

// Each Wake is one event, whether or not the eventfd can be read. A Wake that was reported
// again and again would make a loop spin.
func TestWakeIsReportedOnce(t *testing.T) {
	p := newPoller(t)
	working, swaps := swapsWakeFD(t, p)
	for range 3 {
		p.Wake()
		swaps(p.fd) // which cannot be read
		if got := poll(t, p); len(got) != 1 || !got[0].Woken() {
			t.Fatalf("ready = %v, want the Wake", got)
		}
		if got := poll(t, p); len(got) != 0 {
			t.Fatalf("ready = %v, want nothing: the Wake was reported", got)
		}
		swaps(working)
	}
}

// A Wake that fails does not keep the next one from being tried.
func TestWakeAfterOneThatFailed(t *testing.T) {
	p := newPoller(t)
	working, swaps := swapsWakeFD(t, p)
	swaps(p.fd) // which cannot be written to
	p.Wake()
	swaps(working)
	p.Wake()
	if n, err := unix.Read(working, make([]byte, 8)); err != nil {
		t.Errorf("the second Wake did not reach the eventfd: %d, %v", n, err)
	}
}

// swapsWakeFD returns a duplicate of the eventfd, and a function that puts another file in
// the eventfd's place. The Poller goes on reporting the eventfd.
func swapsWakeFD(t *testing.T, p *Poller) (working int, swaps func(from int)) {
	t.Helper()
	working, err := unix.FcntlInt(uintptr(p.wakeFD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(working) })
	return working, func(from int) {
		t.Helper()
		if err := unix.Dup3(from, p.wakeFD, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
}
