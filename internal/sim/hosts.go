package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/sim/kernel"
	"holdfast/proxy"
)

// A site is one upstream: its hosts, and what the proxy has been told of them.
type site struct {
	number   int
	name     string // host and port of its URL
	host     string
	named    bool
	hosts    []*host
	lookedUp time.Duration // when a lookup ended last; never: none has
}

// A host is one address of an upstream. It is well in some respect while the Ill of that
// kind does not happen to it.
type host struct {
	site    *site
	at      netip.AddrPort
	tls     bool
	ills    [ills]int           // how many troubles of a kind it has now
	well    [ills]time.Duration // since when it has none; never: it has one
	known   time.Duration       // since when the proxy knows its address; never: it does not
	drained time.Duration       // when the proxy was told to drain it; never: it was not, or is not any more
	retired time.Duration       // when the proxy was told so last; never: it never was
	callers []*caller           // connections whose request has not come
}

const servicePort = 9000

// sites makes the upstreams of a plan.
func (p *Plan) sites() (all []*site) {
	for i, u := range p.upstreams() {
		s := &site{number: i, named: u.Name, lookedUp: never}
		for j := range max(1, u.Addresses) {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(9 + 10*i + j)})
			h := &host{site: s, at: netip.AddrPortFrom(addr, servicePort), tls: u.TLS, known: never, drained: never, retired: never}
			if !u.Name {
				h.known = 0
			}
			s.hosts = append(s.hosts, h)
		}
		s.host = s.hosts[0].at.Addr().String()
		if u.Name {
			s.host = "service-" + strconv.Itoa(i) + ".example"
		}
		s.name = net.JoinHostPort(s.host, strconv.Itoa(servicePort))
		all = append(all, s)
	}
	return all
}

// upstream is how the proxy is told of a site.
func (s *site) upstream() proxy.Upstream {
	u := proxy.Upstream{URL: &url.URL{Scheme: "ws", Host: s.name}}
	if s.hosts[0].tls {
		u.URL.Scheme = "wss"
		u.TLS = func() *tls.Config { return &tls.Config{} }
	}
	return u
}

// balances are the rules by which requests get their target.
var balances = []struct {
	name string
	rule proxy.Balance
}{
	{"least_sessions", proxy.Balance{By: proxy.LeastSessions}},
	{"round_robin", proxy.Balance{By: proxy.RoundRobin}},
	{"hash:ip", proxy.Balance{By: proxy.HashIP}},
	{"hash:header", proxy.Balance{By: proxy.HashHeader, Name: "Sec-WebSocket-Key"}},
	{"hash:cookie", proxy.Balance{By: proxy.HashCookie, Name: "nobody-has-it"}},
}

// balance returns the rule of that name.
func balance(name string) proxy.Balance {
	for _, b := range balances {
		if b.name == name {
			return b.rule
		}
	}
	return proxy.Balance{}
}

// hostAt returns the host that has an address, or nil.
func (w *World) hostAt(at netip.AddrPort) *host {
	for _, s := range w.sites {
		for _, h := range s.hosts {
			if h.at == at {
				return h
			}
		}
	}
	return nil
}

// hosts calls do with each host that a trouble is about.
func (w *World) hosts(t *Trouble, do func(*host)) {
	for i, s := range w.sites {
		for j, h := range s.hosts {
			if t.Upstream == everybody || t.Upstream == i && t.Address == j {
				do(h)
			}
		}
	}
}

// plansTroubles lets the troubles of the plan come and go.
func (w *World) plansTroubles() {
	for i := range w.plan.Troubles {
		t := &w.plan.Troubles[i]
		w.after(t.At, func() { w.hosts(t, func(h *host) { w.falls(h, t) }) })
		if t.For > 0 {
			w.after(t.At+t.For, func() { w.hosts(t, func(h *host) { w.recovers(h, t.Kind) }) })
		}
	}
}

// falls begins a host's trouble.
func (w *World) falls(h *host, t *Trouble) {
	w.see("host " + t.Kind.String())
	w.tells("%v %v", h.at, t.Kind)
	h.ills[t.Kind]++
	h.well[t.Kind] = never
	switch t.Kind {
	case Crashes:
		w.crashes(h)
	case Hangs:
		w.hangs(h, w.now+t.For)
	case Retires:
		w.drainsAgain(h)
	default: // what comes next shows it
	}
}

// recovers ends a host's trouble.
func (w *World) recovers(h *host, k Ill) {
	h.ills[k]--
	if h.ills[k] > 0 {
		return
	}
	w.tells("%v %v no longer", h.at, k)
	h.well[k] = w.now
	switch k {
	case Retires:
		h.drained = never
		w.proxy.ResumeTargets(h.site.name, h.at.String())
	case Hangs:
		for _, c := range h.callers {
			w.after(0, c.reads)
		}
	default: // what comes next shows it
	}
}

// drainsAgain tells the proxy to drain a host. A host that the proxy knows only by its
// sessions is not drained when the proxy gets to know it again.
func (w *World) drainsAgain(h *host) {
	if w.proxy.DrainTargets(h.site.name, h.at.String(), w.plan.Spread) == 0 {
		return
	}
	h.retired = w.now
	if h.known != never {
		h.drained = w.now
	}
}

// crashes resets all connections of a host.
func (w *World) crashes(h *host) {
	for _, c := range slices.Clone(h.callers) {
		c.looks() // a part of its request may have come
		_ = c.s.Reset()
		c.leaves()
	}
	for _, t := range w.talks {
		if t.host == h {
			t.service.resets()
		}
	}
}

// hangs stops the program of a host, with all its sessions.
func (w *World) hangs(h *host, until time.Duration) {
	for _, t := range w.talks {
		if p := t.service; t.host == h && !p.gone() {
			p.brokeNow()
			p.frozen = max(p.frozen, until)
			w.after(until-w.now, p.note)
		}
	}
}

// isHanging reports whether the other end of a connection of the proxy's is a host that hangs.
func (w *World) isHanging(s *kernel.Socket) bool {
	for _, site := range w.sites {
		for _, h := range site.hosts {
			if h.ills[Hangs] > 0 && slices.ContainsFunc(h.callers, func(c *caller) bool { return c.s.Socket == s.Peer() }) {
				return true
			}
		}
	}
	return false
}

// answers reports whether a host answers a connect, and with an error if it is not nil.
func (h *host) answers() (err unix.Errno, silent bool) {
	switch {
	case h.ills[Swallows] > 0:
		return 0, true
	case h.ills[Refuses]+h.ills[Crashes] > 0:
		return unix.ECONNREFUSED, false
	}
	return 0, false
}

// answersSince reports whether a host has answered connects since some time, if late.
func (h *host) answersSince(at time.Duration) bool {
	return max(h.well[Swallows], h.well[Refuses], h.well[Crashes], h.well[Hangs]) <= at
}

// worksSince reports whether a host has answered connects at once since some time.
func (h *host) worksSince(at time.Duration) bool {
	return !h.tls && h.answersSince(at) // TLS takes any time here
}

// inUseSince reports whether the proxy has known a host since some time, and was free to
// send requests there.
func (h *host) inUseSince(at time.Duration) bool {
	return h.known <= at && max(h.well[Moves], h.well[Retires]) <= at
}

// addressesOld is how old the addresses of a name may be that are used without a lookup.
const addressesOld = 30 * time.Second

// isFresh reports whether the proxy may use what it knows of a host without a lookup.
func (h *host) isFresh(now time.Duration) bool {
	return !h.site.named || h.site.lookedUp != never && now-h.site.lookedUp < addressesOld
}

// dialled decides on a connection to the service.
func (w *World) dialled(to proxy.Endpoint) kernel.Outcome {
	if w.drains() {
		w.fails("the service is dialled for a handshake during a stop")
	}
	h := w.hostAt(to.AddrPort)
	if h == nil {
		w.fails("%v is dialled, and nobody has said so", to)
		return kernel.Outcome{Silent: true}
	}
	o := kernel.Outcome{After: 2 * w.latency(), Accepted: func(s *kernel.Socket) { w.serviceAccepts(s, h) }}
	w.mayMiss(h, &o)
	w.judgesDial(h, &o)
	return o
}

// mayMiss lets a connect fail, by a fault or because of what happens to the host.
func (w *World) mayMiss(h *host, o *kernel.Outcome) {
	if !w.chance(w.plan.Faults.Connect, "connect") {
		o.Fails, o.Silent = h.answers()
		return
	}
	switch w.faults.IntN(5) {
	case 0:
		o.Now = oneOf[error](w.faults, unix.EADDRNOTAVAIL, unix.ENOBUFS, unix.EMFILE)
	case 1:
		o.Silent = true
	default:
		o.Fails = oneOf(w.faults, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ETIMEDOUT)
	}
}

func (w *World) serviceAccepts(s *kernel.Socket, h *host) {
	w.connects(s)
	newService(w, s, h)
}

var errNoServer = errors.New("the name server does not answer")

// finds looks up the addresses of a host.
func (w *World) finds(_ context.Context, name string) ([]netip.Addr, error) {
	i := slices.IndexFunc(w.sites, func(s *site) bool { return s.host == name })
	s := w.sites[i]
	s.lookedUp = w.now
	var addrs []netip.Addr
	if w.chance(w.plan.Faults.Lookup, "lookup") {
		switch w.faults.IntN(3) {
		case 0:
			s.leadsTo(nil, w.now)
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		case 1:
			return nil, errNoServer
		}
	} else {
		for _, h := range s.hosts {
			if h.ills[Moves] == 0 {
				addrs = append(addrs, h.at.Addr())
			}
		}
	}
	w.choices.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	w.tells("%s is at %v", name, addrs)
	s.leadsTo(addrs, w.now)
	return addrs, nil
}

// leadsTo notes the answer to a lookup.
func (s *site) leadsTo(addrs []netip.Addr, now time.Duration) {
	for _, h := range s.hosts {
		switch is := slices.Contains(addrs, h.at.Addr()); {
		case !is:
			h.known, h.drained = never, never
		case h.known == never:
			h.known = now
		}
	}
}

// later runs a job of the proxy's after some time. While the process is stopped it waits.
func (w *World) later(d time.Duration, job func()) {
	w.after(d, func() {
		if w.stoppedTo > w.now {
			w.later(w.stoppedTo-w.now, job)
			return
		}
		if w.mayRest() {
			w.starts(job)
			return
		}
		w.inLater = true
		job()
		w.inLater = false
	})
}

// mayRest reports whether a check may have to wait. A job that need not is no coroutine, since
// there are many while all is calm.
func (w *World) mayRest() bool {
	if !w.calm && w.plan.Faults.Probe > 0 {
		return true
	}
	for _, s := range w.sites {
		for _, h := range s.hosts {
			if h.ills[Swallows]+h.ills[Hangs] > 0 {
				return true
			}
		}
	}
	return false
}

// checkTimeout is how long a check of the proxy's may wait.
const checkTimeout = 5 * time.Second

// probes checks a host for the proxy. A check may take long, or be lost.
func (w *World) probes(to proxy.Endpoint) error {
	h := w.hostAt(to.AddrPort)
	w.tells("%v is checked", h.at)
	w.checks++
	defer func() { w.checks-- }()
	if !w.calm && w.plan.Faults.Probe > 0 && w.choices.IntN(4) == 0 && !w.rests(spread(w.choices, checkTimeout)) {
		return net.ErrClosed
	}
	fails, silent := h.answers()
	if silent || h.tls && h.ills[Hangs] > 0 || w.chance(w.plan.Faults.Probe, "probe") {
		w.rests(checkTimeout)
		return os.ErrDeadlineExceeded
	}
	if fails != 0 {
		return fails
	}
	return nil
}

// rests lets the present job wait. It returns false at the end of the world.
func (w *World) rests(d time.Duration) bool {
	j, until := w.job, w.now+d
	w.after(d, j.wake)
	for w.now < until {
		if !j.wait() {
			return false
		}
	}
	return true
}

// wantsAlone: an upstream is shown without an address only if it is not shown with one, and
// then with a reason.
func (w *World) wantsAlone(absent proxy.TargetStatus, all []proxy.TargetStatus) {
	entries := 0
	for _, s := range all {
		if s.Upstream == absent.Upstream {
			entries++
		}
	}
	if entries != 1 || absent.Reason == "" {
		w.fails("%s is shown without an address, with the reason %q, in %d entries", absent.Upstream, absent.Reason, entries)
	}
}

// wantsPool: when all is calm, the proxy knows which targets work.
func (w *World) wantsPool() {
	if !w.plan.isPool() {
		return
	}
	settled := w.now - calmTime/2
	known := map[string]bool{}
	all := w.proxy.Targets()
	for _, s := range all {
		if s.Address == "" {
			w.wantsAlone(s, all)
			continue
		}
		at, err := netip.ParseAddrPort(s.Address)
		h := w.hostAt(at)
		if err != nil || h == nil {
			w.fails("the proxy has a target at %q", s.Address)
			continue
		}
		if s.State != proxy.TargetGone {
			known[s.Address] = true
		}
		fails, silent := h.answers()
		dead := fails != 0 || silent
		switch {
		case s.State == proxy.TargetDown && !dead && h.answersSince(settled):
			w.fails("%v works, and counts as down: %s", h.at, s.Reason)
		case s.State == proxy.TargetUp && dead && w.plan.Knobs.Checks > 0:
			w.fails("%v is dead, and counts as up", h.at)
		}
	}
	if w.plan.Knobs.Checks <= 0 {
		return // names are not looked up while nobody comes
	}
	for _, s := range w.sites {
		for _, h := range s.hosts {
			if is := known[h.at.String()]; is != (!s.named || h.ills[Moves] == 0) {
				w.fails("%v is in use: %v, and the name does not say so", h.at, is)
			}
		}
	}
}

// bareName returns a name of an upstream without its scheme.
func bareName(name string) string {
	_, bare, _ := strings.Cut(name, "://")
	return bare
}
