package backend

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/metrics"
	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/upgrade"
)

// configOf returns the configuration of a pool without tricks: its time stands still, jobs
// run at once in goroutines, and nothing comes later.
func configOf(t testing.TB, upstreams ...string) Config {
	t.Helper()
	cfg := Config{
		DialTimeout: time.Minute,
		Clock:       func() heartbeat.Time { return heartbeat.Time(time.Hour) },
		Random:      rand.Uint64,
		Beside:      func(job func()) { go job() },
		After:       func(time.Duration, func()) {},
		Log:         slog.New(slog.DiscardHandler),
		Metrics:     fixture.Own(metrics.New("test")),
	}
	for _, address := range upstreams {
		at, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Upstreams = append(cfg.Upstreams, Upstream{URL: at})
	}
	return cfg
}

func newPool(t testing.TB, cfg Config) *Pool {
	t.Helper()
	p, err := NewPool(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A rig is a pool in invented time. Its lookups and checks are answered by the test, and
// all that it does beside and later is done in one goroutine while time passes.
type rig struct {
	*Pool
	t       testing.TB
	now     heartbeat.Time
	log     fixture.Transcript
	beside  []func()
	later   []appointment
	names   map[string]string // the addresses of a name, with spaces between them
	lost    map[string]error  // why a name cannot be looked up
	works   map[string]bool   // the addresses that a check reaches
	lookups []appointment     // that were made; what is the name
	checks  []appointment     // that were made; what is the address
}

// An appointment is something at some time.
type appointment struct {
	at   heartbeat.Time
	what string
	job  func()
}

// newRig returns a rig whose pool is watched.
func newRig(t testing.TB, upstreams []string, changes ...func(*Config)) *rig {
	t.Helper()
	r := unwatched(t, upstreams, changes...)
	r.Watch()
	r.settles()
	return r
}

// unwatched returns a rig whose pool is not watched yet. Every target works.
func unwatched(t testing.TB, upstreams []string, changes ...func(*Config)) *rig {
	t.Helper()
	r := &rig{
		t: t, now: heartbeat.Time(time.Hour),
		names: map[string]string{}, lost: map[string]error{}, works: map[string]bool{},
	}
	cfg := configOf(t, upstreams...)
	cfg.DialTimeout = 5 * time.Second
	cfg.Health.Interval = 10 * time.Second
	cfg.Clock = func() heartbeat.Time { return r.now }
	cfg.Random = rand.New(rand.NewPCG(1, 2)).Uint64
	cfg.Beside = func(job func()) { r.beside = append(r.beside, job) }
	cfg.After = func(d time.Duration, job func()) {
		r.later = append(r.later, appointment{at: r.now.Add(d), job: job})
	}
	cfg.Log = slog.New(slog.NewTextHandler(&r.log, nil))
	cfg.Find = r.find
	cfg.Probe = r.probe
	for _, change := range changes {
		change(&cfg)
	}
	r.Pool = newPool(t, cfg)
	return r
}

// find answers a lookup.
func (r *rig) find(_ context.Context, host string) (addrs []netip.Addr, err error) {
	r.lookups = append(r.lookups, appointment{at: r.now, what: host})
	if err := r.lost[host]; err != nil {
		return nil, err
	}
	for addr := range strings.FieldsSeq(r.names[host]) {
		addrs = append(addrs, netip.MustParseAddr(addr))
	}
	if addrs == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

var errRefused = os.NewSyscallError("connect", unix.ECONNREFUSED)

// probe answers a check. An address works unless the test says otherwise.
func (r *rig) probe(t *Target) error {
	r.checks = append(r.checks, appointment{at: r.now, what: t.address})
	if works, said := r.works[t.address]; said && !works {
		return errRefused
	}
	return nil
}

// settles runs the jobs that are to run now.
func (r *rig) settles() {
	for len(r.beside) > 0 {
		job := r.beside[0]
		r.beside = r.beside[1:]
		job()
	}
}

// passes lets time pass, and runs the jobs whose time comes.
func (r *rig) passes(d time.Duration) {
	end := r.now.Add(d)
	for {
		r.settles()
		i := r.soonest()
		if i < 0 || r.later[i].at > end {
			break
		}
		next := r.later[i]
		r.later = slices.Delete(r.later, i, i+1)
		r.now = max(r.now, next.at)
		next.job()
	}
	r.now = end
}

// untilChecked lets time pass until a check is made.
func (r *rig) untilChecked() {
	r.t.Helper()
	for made := len(r.checks); len(r.checks) == made; {
		r.settles()
		i := r.soonest()
		if i < 0 {
			r.t.Fatal("no check is planned")
		}
		r.passes(r.later[i].at.Sub(r.now))
	}
}

// soonest returns the index of the job that is due first, or -1 if there is none.
func (r *rig) soonest() (index int) {
	index = -1
	for i, a := range r.later {
		if index < 0 || a.at < r.later[index].at {
			index = i
		}
	}
	return index
}

// target returns the target of an address, which may leave.
func (r *rig) target(address string) *Target {
	r.t.Helper()
	for _, b := range r.backends {
		for _, t := range append(b.all(), b.leavers()...) {
			if t.address == address {
				return t
			}
		}
	}
	r.t.Fatalf("there is no target %s", address)
	return nil
}

// wantsUp wants a target to be up or down, and its series to say the same.
func (r *rig) wantsUp(why, address string, want bool) {
	r.t.Helper()
	if t := r.target(address); t.Up() != want {
		r.t.Errorf("%s: %s is up: %v, want %v", why, address, t.Up(), want)
	}
	value, there := r.series("up", address)
	if !there || (value == 1) != want {
		r.t.Errorf("%s: the series of %s is %v (there: %v), want up %v", why, address, value, there, want)
	}
}

// series returns the value of holdfast_upstream_NAME of an address, by a scrape.
func (r *rig) series(name, address string) (value float64, there bool) {
	r.t.Helper()
	for series, value := range fixture.Counted(r.t, r.cfg.Metrics.Registry()) {
		if strings.HasPrefix(series, "upstream_"+name+"{"+address+",") {
			return value, true
		}
	}
	return 0, false
}

// wantsTargets wants these addresses to be shown, in Targets and in every scrape. An
// address that has gone has a minus sign before it. An upstream without an address is left out.
func (r *rig) wantsTargets(why string, want ...string) {
	r.t.Helper()
	var got []string
	for _, s := range r.Targets() {
		name := s.Address
		if name == "" {
			continue
		}
		if s.Gone {
			name = "-" + name
		}
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("%s: the targets are %q, want %q", why, got, want)
	}
	scraped := 0
	for series := range fixture.Counted(r.t, r.cfg.Metrics.Registry()) {
		if strings.HasPrefix(series, "upstream_up{") {
			scraped++
		}
	}
	if scraped != len(want) {
		r.t.Errorf("%s: a scrape shows %d addresses, want %q", why, scraped, want)
	}
}

// wantsLines wants so many lines of the log to have all of these texts.
func (r *rig) wantsLines(why string, want int, texts ...string) {
	r.t.Helper()
	got := 0
	for line := range strings.Lines(r.log.String()) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			got++
		}
	}
	if got != want {
		r.t.Errorf("%s: %d lines have %q, want %d:\n%s", why, got, texts, want, r.log.String())
	}
}

// checked returns when the checks of an address were made since some time, counted from
// that time.
func checked(made []appointment, since heartbeat.Time, address string) (all []time.Duration) {
	for _, c := range made {
		if c.at >= since && c.what == address {
			all = append(all, c.at.Sub(since))
		}
	}
	return all
}

// request returns a request with these fields: names and values in turn.
func request(fields ...string) *upgrade.Request {
	r := &upgrade.Request{Method: "GET", Target: "/", Minor: 1}
	for pair := range slices.Chunk(fields, 2) {
		r.Fields = append(r.Fields, field.Field{Name: pair[0], Value: pair[1]})
	}
	return r
}

var aClient = netip.MustParseAddr("198.51.100.1")

// route begins the route of a request of aClient.
func (r *rig) route() *Route {
	route := r.Route(request(), aClient)
	return &route
}

// routeAll follows a route to its end. Every dial fails with err. It returns the addresses
// that were tried, and how often the route has waited for lookups.
func (r *rig) routeAll(route *Route, err error) (tried []string, waits int) {
	r.t.Helper()
	for range 1000 {
		switch route.Next(r.now) {
		case Try:
			tried = append(tried, route.To.address)
			route.Missed(err)
			route.To.Leave()
		case Wait:
			waits++
			r.settles()
		case End:
			return tried, waits
		}
	}
	r.t.Fatal("the route does not end")
	return nil, 0
}

// opens opens a session by a route of its own, and returns the session's target.
func (r *rig) opens(req *upgrade.Request, client netip.Addr) *Target {
	r.t.Helper()
	route := r.Route(req, client)
	if step := route.Next(r.now); step != Try {
		r.t.Fatalf("the route's first step is %d, want a dial", step)
	}
	route.To.Learn(nil)
	route.To.Sessions(1)
	return route.To
}

// ends ends a session.
func ends(t *Target) {
	t.Sessions(-1)
	t.Leave()
}

// fails lets dials to a target fail until it is down.
func fails(t *Target) {
	for range dialsUntilDown {
		t.Learn(errRefused)
	}
}

// literals returns n upstreams with an address each, and these addresses.
func literals(n int) (upstreams, addresses []string) {
	for i := range n {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 80).String()
		upstreams, addresses = append(upstreams, "ws://"+at), append(addresses, at)
	}
	return upstreams, addresses
}

// balance changes the rule of a pool.
func balance(by BalanceBy, name string) func(*Config) {
	return func(cfg *Config) { cfg.Balance = Balance{By: by, Name: name} }
}

// slowStart changes the time of a slow start.
func slowStart(d time.Duration) func(*Config) {
	return func(cfg *Config) { cfg.SlowStart = d }
}

// every changes the time between checks.
func every(d time.Duration) func(*Config) {
	return func(cfg *Config) { cfg.Health.Interval = d }
}

// same reports whether two lists have the same items, in any order.
func same[T cmp.Ordered](a, b []T) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

var errSilentServer = &net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}

var errServerFails = &net.DNSError{Err: "server misbehaving", IsTemporary: true}

var errWentAway = errors.New("went away")

var errNoHost = &net.DNSError{Err: "no such host", IsNotFound: true}
