package proxy

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy/internal/socket"
)

// The backend is picked when the request is there: a handshake that fails before
// has none, and its log line none either.
func TestBackendIsPickedForTheRequest(t *testing.T) {
	for sent, want := range map[string]bool{"": false, wire.Request()[:20]: false, wire.Request(): true} {
		st := newStage(t, nil)
		st.l.queueOfOne().places = 0 // who has sent a request waits
		p := st.connects()
		if sent != "" {
			p.sendsString(sent)
		}
		if picked := st.opening(func(*opening) bool { return true }); picked != 1 {
			t.Fatalf("%q: %d handshakes are under way", sent, picked)
		}
		st.l.table.all(func(s *session) {
			if picked := s.target != nil; picked != want {
				t.Errorf("%q: a backend is picked: %v", sent, picked)
			}
		})
		p.hangsUp()
		log := st.log.String()
		if !strings.Contains(log, "handshake failed") || strings.Contains(log, "upstream=ws://127.0.0.1:1") != want {
			t.Errorf("%q: the log says\n%s", sent, log)
		}
	}
}

// A target that does not answer costs three handshakes their share of the time. Then
// handshakes and pages go to the other one at once.
func TestSilentTargetCostsThreeHandshakes(t *testing.T) {
	st, dead, alive := halfSilent(t)
	const dialsUntilDown = 3 // as package backend has it
	for range dialsUntilDown {
		st.knocks()
		st.looksUp()
		if st.dials(dead) != 1 {
			t.Fatal("its turn does not go to the silent target")
		}
		st.pass(st.server.cfg.DialTimeout / 2)
		alive.wantsDial("the silent target has had its share")
		st.knocks()
		st.looksUp()
		alive.wantsDial("the next turn is the other's")
	}
	for range 3 {
		st.knocks()
		st.looksUp()
		alive.wantsDial("the silent target is known to be down")
	}
	if page := st.server.oneTarget(); page.Address() != alive.Addr().String() {
		t.Errorf("a page goes to %v", page)
	}
}

// halfSilent returns a stage whose upstream is a name with two addresses. Nobody answers at
// the first, and a service listens at the other. Requests go to them in turn.
func halfSilent(t *testing.T) (st *stage, silent socket.Endpoint, alive testListener) {
	t.Helper()
	silent = socket.Endpoint{AddrPort: fixture.Deaf(t)}
	port := silent.AddrPort.Port()
	aliveIP := netip.MustParseAddr("127.0.0.200") // no test dials from it, so the port is free there
	alive = listening(t, netip.AddrPortFrom(aliveIP, port))
	st = newStage(t, func(cfg *Config) {
		cfg.Upstreams[0].URL.Host = net.JoinHostPort("service.example", strconv.Itoa(int(port)))
		cfg.Balance.By, cfg.HealthInterval = RoundRobin, -1
		cfg.find = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{silent.AddrPort.Addr(), aliveIP}, nil
		}
	})
	return st, silent, alive
}

// looksUp turns the loop until no handshake waits for a lookup.
func (st *stage) looksUp() {
	st.t.Helper()
	for st.opening(func(o *opening) bool { return o.state == resolving }) > 0 { // the test's own timeout bounds this
		st.run()
	}
}

// dials is how many handshakes wait for an address to answer.
func (st *stage) dials(to socket.Endpoint) int {
	return st.opening(func(o *opening) bool { return o.state == dialing && o.route.To.Endpoint() == to })
}

// opening is how many handshakes are such.
func (st *stage) opening(are func(*opening) bool) (n int) {
	st.l.table.all(func(s *session) {
		if s.opening != nil && are(s.opening) {
			n++
		}
	})
	return n
}

type testListener struct {
	*net.TCPListener
	t *testing.T
}

func listening(t *testing.T, at netip.AddrPort) testListener {
	t.Helper()
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return testListener{ln, t}
}

// wantsDial accepts a connection, which must be there.
func (ln testListener) wantsDial(why string) {
	ln.t.Helper()
	_ = ln.SetDeadline(time.Now().Add(10 * time.Second)) // it is open
	conn, err := ln.Accept()
	if err != nil {
		ln.t.Fatalf("%s: %v", why, err)
	}
	conn.Close()
}

// A handshake that ends while the upstream's name is looked up is not remembered
// by the lookup, which all share.
func TestLookupForgetsWhoLeft(t *testing.T) {
	ctx, answers := t.Context(), make(chan struct{})
	var lookups, told atomic.Int64
	st := newStage(t, func(cfg *Config) {
		cfg.Upstreams[0].URL.Host = "service.example:1"
		cfg.find = func(context.Context, string) ([]netip.Addr, error) {
			lookups.Add(1)
			select {
			case <-answers:
			case <-ctx.Done():
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
	})
	for range 10 {
		st.knocks().hangsUp()
	}
	stays := st.knocks()
	wake := st.l.inbox.wake
	st.l.inbox.wake = func() { told.Add(1); wake() } // the lookup tells each by a job, the last one last
	close(answers)
	for stays.told() == "" { // the test's own timeout bounds this
		st.run()
	}
	if got := stays.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") { // nobody listens there
		t.Errorf("the one who stayed is told %.40q", got)
	}
	if got := told.Load(); got > 1 {
		t.Errorf("%d are told what the lookup has found, though one waits", got)
	}
	if got := lookups.Load(); got != 1 {
		t.Errorf("the name was looked up %d times, want once for all", got)
	}
}
