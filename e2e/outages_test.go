//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// The load of TestOutagesInTurn.
const (
	stayingSessions = 2000
	comingRate      = 50 // a second
)

// An outage is something that befalls one of several services.
type outage struct {
	name   string
	befall func(*service)
	end    func(*service)
	found  bool // it lasts until the proxy has found out
	code   int  // with which the clients of the service's sessions are told of their end
	status int  // of requests that the service had been sent already
	// reasons are those for which the sessions count as dropped; none if they are closed.
	reasons []string
}

// Three services are killed, frozen, cut off and restarted in turn. That ends their own
// sessions and no others. A request goes to one service and never to a second, and a client
// is refused only if the service had been sent its request. The counts of the proxy, of the
// clients and of the services agree.
func TestOutagesInTurn(t *testing.T) {
	needsProxy(t)
	began := time.Now()
	services, ledger := startServices(t, 3)
	proxy := startHoldfast(t, upstreams(services),
		"HOLDFAST_LOG_LEVEL=info",
		"HOLDFAST_HEALTH_PATH="+healthPath,
		"HOLDFAST_HEALTH_INTERVAL=500ms",
		"HOLDFAST_SLOW_START=1s",
		"HOLDFAST_DIAL_TIMEOUT=2s",
		"HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT=3s",
		"HOLDFAST_UPSTREAM_PING_INTERVAL=2s",
		"HOLDFAST_UPSTREAM_PING_TIMEOUT=4s",
		"HOLDFAST_CLOSE_TIMEOUT=2s")
	for _, s := range services {
		proxy.wantsMetric(isUp(s.url), 1)
	}
	c := &visitors{t: t, proxy: proxy}
	c.come(stayingSessions, 50)
	c.echoes("all are open")
	// Only an upstream that has answered a ping is held to an answer.
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "upstream"), stayingSessions)
	stop := make(chan struct{})
	c.visits.Add(1)
	go c.comesAndGoes(comingRate, stop)

	starts := func(s *service) { s.starts(t) }
	freezes, thaws := func(s *service) { s.Freezes() }, func(s *service) { s.Thaws() }
	silent := []string{"ping_timeout"}
	outages := []outage{
		{"killed", (*service).dies, starts, true, 1012, http.StatusBadGateway, []string{"eof", "reset"}},
		{"frozen", freezes, thaws, true, 1012, http.StatusGatewayTimeout, silent},
		{"cut off", (*service).vanishes, (*service).returns, true, 1012, http.StatusGatewayTimeout, silent},
		{"restarted", (*service).retires, starts, false, 1001, http.StatusBadGateway, nil},
	}
	for i, o := range outages {
		c.outlives(o, services[i%len(services)], ledger)
	}

	close(stop)
	c.until("all have an answer, and those that only looked have left", func() bool {
		return c.are(0, pending) && c.are(stayingSessions, open)
	})
	ledger.isWhole()
	for _, s := range services {
		sessions := len(c.at(s, ledger, open))
		proxy.wantsMetric(sessionsAt(s.url), float64(sessions))
		proxy.Until(fmt.Sprintf("%s has %d sessions", s.Name, sessions), func() bool { return s.counts() == sessions })
	}
	c.leave()
	proxy.wantsMetric("holdfast_sessions_active", 0)
	ledger.isWhole()
	ledger.wantsOnce(t)
	c.wantsCounted(services, ledger)
	scrape := proxy.Scrape()
	for i, s := range services { // each has one outage that drops sessions
		if all, known := droppedInAll(scrape, s.url, upstreamReasons...), droppedInAll(scrape, s.url, outages[i].reasons...); all != known {
			t.Errorf("%s was %s: %v sessions are dropped, only %v of them for %q", s.Name, outages[i].name, all, known, outages[i].reasons)
		}
	}
	c.tells(services, ledger, began)
}

// at returns the visits in the state whose request the service has read.
func (c *visitors) at(s *service, l *ledger, in state) []*visit {
	return slices.DeleteFunc(c.those(in), func(v *visit) bool { return l.reader(v.id) != s })
}

// outlives lets an outage befall a service under the visitors, and wants it to end nothing but
// the sessions of that service.
func (c *visitors) outlives(o outage, s *service, l *ledger) {
	c.t.Helper()
	l.isWhole()
	l.wantsOnce(c.t)
	failed := func(v *visit) bool { return refused(v) || dropped(v) }
	before := c.those(failed)
	sessions := c.at(s, l, staying)
	if len(sessions) == 0 {
		c.t.Errorf("%s has no session when it is %s", s.Name, o.name)
	}
	o.befall(s)
	c.until(fmt.Sprintf("all sessions of %s have ended: it is %s", s.Name, o.name), func() bool { return c.noneIs(open, sessions) })
	if o.found {
		c.proxy.WantsMetric(isUp(s.url), 0)
	}
	c.until("all who stay have a session again", func() bool { return c.are(stayingSessions, staying) })
	c.echoes(s.Name + " is " + o.name)
	o.end(s)
	c.proxy.WantsMetric(isUp(s.url), 1)
	asked := c.those(pending)
	read := l.requests(s)
	c.until("those who have asked have an answer", func() bool { return c.noneIs(pending, asked) })
	c.until(s.Name+" is sent requests again", func() bool { return l.requests(s) > read })
	c.echoes(s.Name + " was " + o.name)
	l.isWhole()
	for _, v := range c.those(failed) {
		if !slices.Contains(before, v) {
			c.wantsEndOf(v, o, s, l)
		}
	}
}

// wantsEndOf judges a visit that was refused or dropped during an outage.
func (c *visitors) wantsEndOf(v *visit, o outage, s *service, l *ledger) {
	c.t.Helper()
	reader := l.reader(v.id)
	switch {
	case refused(v) && v.status != o.status:
		c.t.Errorf("%s is %s: visit %s is refused with %d (%v)", s.Name, o.name, v.id, v.status, v.failed)
	case refused(v) && reader != nil && reader != s:
		c.t.Errorf("%s is %s: visit %s is refused with %d, though %s had read its request", s.Name, o.name, v.id, v.status, reader.Name)
	case dropped(v) && reader != s:
		c.t.Errorf("%s is %s: session %s of another service was ended with %d %q", s.Name, o.name, v.id, v.code, v.reason)
	case dropped(v) && v.code != o.code:
		c.t.Errorf("%s is %s: its session %s was ended with %d %q, want %d", s.Name, o.name, v.id, v.code, v.reason, o.code)
	}
}

// ended returns the state of visits whose session was ended with the code.
func ended(code int) state { return func(v *visit) bool { return v.ended && v.code == code } }

// refusedWith returns the state of visits that were refused with the status.
func refusedWith(status int) state {
	return func(v *visit) bool { return refused(v) && v.status == status }
}

// wantsCounted wants the counts of the proxy to be those of the clients and the services.
func (c *visitors) wantsCounted(services []*service, l *ledger) {
	c.t.Helper()
	scrape := c.proxy.Scrape()
	is := func(what string, value float64, want int) {
		c.t.Helper()
		if value != float64(want) {
			c.t.Errorf("%s is %v, want %d", what, value, want)
		}
	}
	for _, s := range services {
		is(handshakesAt(s.url, "ok"), scrape.Value(handshakesAt(s.url, "ok")), len(c.at(s, l, opened)))
		is(handshakesAt(s.url, "refused"), scrape.Value(handshakesAt(s.url, "refused")), 0)
		is(sessionsAt(s.url), scrape.Value(sessionsAt(s.url)), 0)
		is("the sessions dropped at "+s.Name, droppedInAll(scrape, s.url, upstreamReasons...), len(c.at(s, l, ended(1012))))
	}
	for _, reason := range upstreamReasons {
		sum := 0.0
		for _, s := range services {
			sum += scrape.Value(droppedAt(s.url, reason))
		}
		is("the sum over all services for "+reason, sum, int(scrape.Value(blackbox.Dropped("upstream", reason))))
	}
	sum, invalid, timeouts := 0.0, 0.0, 0.0
	for _, s := range services {
		sum += scrape.Value(handshakesAt(s.url, "ok"))
		invalid += scrape.Value(handshakesAt(s.url, "invalid"))
		timeouts += scrape.Value(handshakesAt(s.url, "timeout"))
	}
	if late := len(c.those(refusedWith(http.StatusGatewayTimeout))); timeouts < float64(late) { // dials time out, too
		c.t.Errorf("%v answers were late at all services, want at least %d", timeouts, late)
	}
	is("the sum of sessions opened at all services", sum, int(scrape.Value("holdfast_sessions_opened_total")))
	is("the sum of answers that failed at all services", invalid, len(c.those(refusedWith(http.StatusBadGateway))))
	for result, want := range map[string]int{
		"ok":                   len(c.those(opened)),
		"timeout":              len(c.those(refusedWith(http.StatusGatewayTimeout))),
		"upstream_invalid":     len(c.those(refusedWith(http.StatusBadGateway))),
		"upstream_unreachable": 0,
		"upstream_refused":     0,
	} {
		is(blackbox.Handshakes(result), scrape.Value(blackbox.Handshakes(result)), want)
	}
	is(blackbox.Closed("client"), scrape.Value(blackbox.Closed("client")), len(c.those(func(v *visit) bool { return v.left })))
	is(blackbox.Closed("upstream"), scrape.Value(blackbox.Closed("upstream")),
		len(c.those(func(v *visit) bool { return v.ended && !v.left && v.code != 1012 })))
}

// tells logs a summary.
func (c *visitors) tells(services []*service, l *ledger, began time.Time) {
	c.t.Helper()
	var at []string
	for _, s := range services {
		at = append(at, fmt.Sprintf("%s %d sessions, %d lost, %d ended by it", s.address,
			len(c.at(s, l, opened)), len(c.at(s, l, ended(1012))), len(c.at(s, l, ended(1001)))))
	}
	c.t.Logf("%d visits in %v, %d sessions; refused: %d with 502, %d with 504; %s",
		len(c.those(func(*visit) bool { return true })), time.Since(began).Round(time.Second), len(c.those(opened)),
		len(c.those(refusedWith(http.StatusBadGateway))), len(c.those(refusedWith(http.StatusGatewayTimeout))),
		strings.Join(at, "; "))
}
