package backend

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/upgrade"
)

// A village is a pool of one name, whose jobs the test runs one after the other.
type village struct {
	*Pool
	t     *testing.T
	now   heartbeat.Time
	addrs []netip.Addr // of the name
	jobs  []func()
	later []func() // those that come after some time
	seen  []string // addresses that were checked
}

const villager = "service.example:81"

func newVillage(t *testing.T) *village {
	v := &village{t: t, now: heartbeat.Time(time.Hour), addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}}
	pool, err := NewPool(t.Context(), Config{
		Upstreams:   []Upstream{{URL: &url.URL{Scheme: "ws", Host: villager}}},
		Find:        func(context.Context, string) ([]netip.Addr, error) { return v.addrs, nil },
		DialTimeout: 5 * time.Second,
		Probe: func(to *Target) error {
			v.seen = append(v.seen, to.Address())
			return io.EOF // it is down
		},
		Clock:   func() heartbeat.Time { return v.now },
		Random:  func() uint64 { return 0 },
		Beside:  func(job func()) { v.jobs = append(v.jobs, job) },
		After:   func(_ time.Duration, job func()) { v.later = append(v.later, job) },
		Log:     slog.New(slog.DiscardHandler),
		Metrics: metrics.New("test"),
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Pool = pool
	return v
}

// runs runs the jobs that are due, and those that follow from them.
func (v *village) runs() {
	for len(v.jobs) > 0 {
		job := v.jobs[0]
		v.jobs = v.jobs[1:]
		job()
	}
}

// finds looks the name up.
func (v *village) finds(addrs ...netip.Addr) {
	v.addrs = addrs
	v.backends[0].lookUp()
	v.runs()
}

// The checks of a target end when its name does not lead to it any more. They begin anew when
// the name leads there again.
func TestTargetThatComesBackIsChecked(t *testing.T) {
	v := newVillage(t)
	first, second := v.addrs[0], v.addrs[1]
	v.watched.Store(true)
	v.finds(first, second)
	leaver := v.backends[0].all()[1]
	if !leaver.take() {
		t.Fatal("it has gone already")
	}
	v.finds(first)
	v.jobs, v.later = v.later, nil
	v.runs() // the check that was planned finds that the target has gone
	v.seen = nil
	v.finds(first, second)
	if len(v.seen) != 1 || v.seen[0] != leaver.Address() {
		t.Errorf("%v are checked after it has come back, want %s", v.seen, leaver.Address())
	}
}

// A request that has waited for its turn is not sent to a target that may not have it any
// more, and not after its time.
func TestWhatIsAmissAfterAWait(t *testing.T) {
	for what, happens := range map[string]struct {
		does func(*village, *Route)
		want error
	}{
		"nothing":              {func(*village, *Route) {}, nil},
		"it was drained":       {func(v *village, r *Route) { v.SetDrained(villager, r.To.Address(), true) }, errDrained},
		"it has gone":          {func(v *village, r *Route) { v.finds(netip.MustParseAddr("192.0.2.3")) }, errGone},
		"another one is up":    {func(v *village, r *Route) { other(v, r).Learn(nil) }, errWentDown},
		"its time is up":       {func(v *village, r *Route) { r.Begin(v.now); v.now = v.now.Add(5 * time.Second) }, ErrTimeout},
		"its time is not over": {func(v *village, r *Route) { r.Begin(v.now); v.now = v.now.Add(5*time.Second - 1) }, nil},
	} {
		v := newVillage(t)
		v.finds(v.addrs...)
		r := v.Route(&upgrade.Request{}, netip.Addr{})
		if r.Next(v.now) != Try {
			t.Fatal("there is no target")
		}
		happens.does(v, &r)
		if got := r.Amiss(v.now); got != happens.want {
			t.Errorf("%s: %v, want %v", what, got, happens.want)
		}
	}
}

// other returns a target that the route does not try now.
func other(v *village, r *Route) *Target {
	for _, t := range v.backends[0].all() {
		if t != r.To {
			return t
		}
	}
	return nil
}

// What waits for its turn waits no longer than the route has time.
func TestWaitWithinTheTimeOfTheRoute(t *testing.T) {
	v := newVillage(t)
	r := v.Route(&upgrade.Request{}, netip.Addr{})
	late := v.now.Add(time.Minute)
	if got := r.InTime(late); got != late {
		t.Errorf("before the first dial it waits until %v, want %v", got, late)
	}
	by := r.Begin(v.now)
	if got := r.InTime(late); got != by {
		t.Errorf("after the first dial it waits until %v, want %v", got, by)
	}
}
