package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

// behind puts more addresses before that of the rig's service, or behind it, and lets
// requests go to them in turn.
func behind(cfg *proxy.Config, before bool, more ...netip.AddrPort) {
	var others []proxy.Upstream
	for _, at := range more {
		others = append(others, proxy.Upstream{URL: &url.URL{Scheme: "ws", Host: at.String()}})
	}
	if before {
		cfg.Upstreams = append(others, cfg.Upstreams...)
	} else {
		cfg.Upstreams = append(cfg.Upstreams, others...)
	}
	cfg.Balance.By = proxy.RoundRobin
}

// named returns the name of an upstream in the log and the metrics.
func (r *rig) named(at fmt.Stringer) string {
	if r.tls.upstream {
		return "wss://" + at.String()
	}
	return "ws://" + at.String()
}

// A request goes on to the next target if the first one cannot be connected to, and each
// upstream is sent its own Host.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, dead := range map[string]func(testing.TB) netip.AddrPort{"refuses": fixture.Unused, "is silent": fixture.Deaf} {
		for kind, ask := range map[string]string{"session": wire.Request(), "page": page} {
			t.Run(kind+", the first "+name, func(t *testing.T) {
				t.Parallel()
				at := dead(t)
				r := newRig(t, func(cfg *proxy.Config) {
					behind(cfg, true, at)
					cfg.Upstreams[0].Host, cfg.Upstreams[1].Host = "first.example", "second.example"
					cfg.DialTimeout = 20 * moment
				})
				client, upstream, asked := r.asksUpstream(ask)
				if asked.Host != "second.example" {
					t.Errorf("the second is asked for the Host %q", asked.Host)
				}
				if kind == "page" {
					upstream.sendsString(wire.Head("HTTP/1.1 204 No Content"))
					client.wantsStatus("the page", http.StatusNoContent)
					return
				}
				upstream.sendsString(wire.Answer(asked))
				client.wantsSwitch()
				r.wantsCounts(counts{"ok": 1, "opened": 1, "active": 1})
				missed := "unreachable"
				if name == "is silent" {
					missed = "timeout"
				}
				for what, want := range map[string]int{
					"upstream_handshakes_total{" + missed + "," + r.named(at) + "}":                                 1,
					"upstream_handshakes_total{ok," + r.named(r.service.Addr()) + "}":                               1,
					"upstream_sessions_active{" + r.service.Addr().String() + "," + r.named(r.service.Addr()) + "}": 1,
					"upstream_sessions_active{" + at.String() + "," + r.named(at) + "}":                             0,
					"upstream_sessions_dropped_total{eof," + r.named(r.service.Addr()) + "}":                        0,
				} {
					if got := r.metric(what); got != want {
						t.Errorf("%s is %d, want %d", what, got, want)
					}
				}
				upstream.hangsUp()
				client.wantsClose("its upstream is gone", 1012)
				client.hangsUp()
				r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped upstream eof": 1})
				if got := r.metric("upstream_sessions_dropped_total{eof," + r.named(r.service.Addr()) + "}"); got != 1 {
					t.Errorf("%d sessions are counted as dropped by the upstream, want 1", got)
				}
			})
		}
	}
}

// With several targets and none left a client is told to come again, and the log has what
// each of them said.
func TestNoTargetIsLeft(t *testing.T) {
	t.Parallel()
	for kind, ask := range map[string]string{"session": wire.Request(), "page": page} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			refuses, silent := fixture.Unused(t), fixture.Deaf(t)
			r := newRig(t, func(cfg *proxy.Config) {
				behind(cfg, true, refuses, silent)
				cfg.Upstreams = cfg.Upstreams[:2]
				cfg.DialTimeout = moment
			})
			client := r.dials()
			client.sendsString(ask)
			answer := client.wantsStatus("none is left", http.StatusServiceUnavailable)
			if answer.Header.Get("Retry-After") == "" {
				t.Error("the refusal does not say when to come again")
			}
			said := []string{r.named(refuses) + ": ", "connection refused", r.named(silent) + ": ", "no connection in time"}
			r.eventually("the log has what each said", func() bool {
				for _, text := range said {
					if !strings.Contains(r.log.String(), text) {
						return false
					}
				}
				return true
			})
		})
	}
}

// A request that was sent is never sent again, even if the upstream ends the connection
// without an answer.
func TestRequestIsNotRepeated(t *testing.T) {
	t.Parallel()
	for kind, ask := range map[string]string{"session": wire.Request(), "page": page} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			other := fixture.Listen(t, "tcp", "127.0.0.1:0")
			r := newRig(t, func(cfg *proxy.Config) {
				behind(cfg, false, netip.MustParseAddrPort(other.Addr().String()))
			})
			client, upstream, _ := r.asksUpstream(ask)
			upstream.hangsUp()
			client.wantsStatus("no answer", http.StatusBadGateway)
			if got := r.metric("upstream_handshakes_total{ok," + r.named(other.Addr()) + "}"); got != 0 {
				t.Errorf("%d handshakes went to the other", got)
			}
			other.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now())
			if conn, err := other.Accept(); err == nil {
				conn.Close()
				t.Error("the other upstream was connected to")
			}
		})
	}
}

// What is learnt about one target's pongs says nothing about another's, even if both are
// addresses of one name.
func TestPongsAreLearntForEachTarget(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]func(cfg *proxy.Config, mute netip.AddrPort){
		"two upstreams": func(cfg *proxy.Config, mute netip.AddrPort) { behind(cfg, false, mute) },
		"one name": func(cfg *proxy.Config, mute netip.AddrPort) {
			answers := netip.MustParseAddr("127.0.0.1")
			cfg.Upstreams[0].URL.Host = net.JoinHostPort("service.example", strconv.Itoa(int(mute.Port())))
			cfg.FindBy(func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{answers, mute.Addr()}, nil })
			cfg.Balance.By = proxy.RoundRobin
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mute net.Listener
			r := newRig(t, func(cfg *proxy.Config) {
				mute = fixture.Listen(t, "tcp", net.JoinHostPort("127.0.0.202", cfg.Upstreams[0].URL.Port())) // no test dials from it, so the port is free there
				add(cfg, netip.MustParseAddrPort(mute.Addr().String()))
				cfg.UpstreamSide = heartbeat.Rules{Interval: moment, Timeout: moment, Pong: heartbeat.LearnPong}
			})
			_, answers := r.opens()
			answers.sends(answers.wantsPing("it answers"))
			client := r.dials()
			client.sendsString(wire.Request())
			silent := r.acceptsAt(mute.(*net.TCPListener))
			silent.sendsString(wire.Answer(silent.wantsRequest()))
			client.wantsSwitch()
			for range 4 {
				silent.wantsPing("it never answers, and has no deadline")
			}
		})
	}
}

// Targets lists what there is.
func TestTargets(t *testing.T) {
	t.Parallel()
	dead := fixture.Unused(t)
	r := newRig(t, func(cfg *proxy.Config) { behind(cfg, true, dead) })
	all := r.server.Targets()
	want := proxy.TargetStatus{Upstream: r.named(dead), Address: dead.String(), State: proxy.TargetUp}
	if len(all) != 2 || all[0] != want {
		t.Errorf("the targets are %+v", all)
	}
}

// A handshake that waits for its target's answer is counted there, and takes a place. It is
// a session later, and counted once. The connection of a page is not a handshake.
func TestHandshakesOfATarget(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	wants := func(when string, handshakes, sessions, places int) {
		t.Helper()
		r.eventually(when, func() bool {
			is := r.server.Targets()[0]
			return is.Handshakes == handshakes && is.Sessions == sessions && r.server.PlacesTaken() == places
		})
	}
	client, upstream, asked := r.asksUpstream(wire.Request())
	wants("the service has not answered", 1, 0, 1)
	upstream.sendsString(wire.Answer(asked))
	client.wantsSwitch()
	wants("the service has answered", 0, 1, 1)
	r.asksUpstream(page)
	wants("a page is under way", 0, 1, 1)
}

// An upstream whose name leads to no address is a target without an address. It can be
// drained and resumed, and Targets shows that.
func TestUpstreamWithoutAnAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.HealthInterval = time.Hour
		isLost(cfg)
	})
	wants := func(why string, state proxy.TargetState) {
		t.Helper()
		want := proxy.TargetStatus{Upstream: r.named(lostHost), State: state, Reason: noHost.Error()}
		r.eventually(why, func() bool {
			all := r.server.Targets()
			return len(all) == 2 && all[1] == want
		})
	}
	wants("the name is not found", proxy.TargetDown)
	for _, name := range []string{"lost.example", "lost.example:9001"} {
		if r.server.DrainTargets(name, "", 0) || r.server.ResumeTargets(name, "") {
			t.Errorf("%s is drained, and is not an upstream", name)
		}
	}
	if !r.server.DrainTargets(lostHost.String(), "", 0) {
		t.Error("it is not found by its name")
	}
	wants("it is drained", proxy.TargetDraining)
	if !r.server.ResumeTargets(lostHost.String(), "") {
		t.Error("it is not found by its name")
	}
	wants("it is resumed", proxy.TargetDown)
}

// If the upstreams that work are out of use, the log warns of that, whatever is the matter
// with the others, and the client is told to come again.
func TestLogNamesWhatIsOutOfUse(t *testing.T) {
	t.Parallel()
	for kind, test := range map[string]struct{ ask, message string }{
		"session": {wire.Request(), "handshake failed"},
		"page":    {page, "request failed"},
	} {
		for name, lost := range map[string]bool{"the other has no address": true, "it is the only one": false} {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				var log fixture.Transcript
				r := newRig(t, func(cfg *proxy.Config) {
					cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
					if lost {
						isLost(cfg)
					}
				})
				said := r.named(r.service.Addr()) + ": an operator has taken it out of use; " + r.named(lostHost) + ": " + noHost.Error()
				if !lost {
					said = "no upstream takes new sessions: an operator has taken them out of use"
				}
				r.server.DrainTargets(r.service.Addr().String(), "", 0)
				client := r.dials()
				client.sendsString(test.ask)
				answer := client.wantsStatus("it is out of use", http.StatusServiceUnavailable)
				if answer.Header.Get("Retry-After") == "" {
					t.Error("the refusal does not say when to come again")
				}
				r.eventually("the log warns of it", func() bool {
					for line := range strings.Lines(log.String()) {
						if strings.Contains(line, `"level":"WARN","msg":"`+test.message) && strings.Contains(line, said) {
							return true
						}
					}
					return false
				})
			})
		}
	}
}

// lostHost is where an upstream is whose name leads to no address.
const lostHost = hostname("lost.example:9000")

type hostname string

func (h hostname) String() string { return string(h) }

var noHost = &net.DNSError{Err: "no such host", Name: "lost.example", IsNotFound: true}

// isLost adds an upstream whose name leads to no address.
func isLost(cfg *proxy.Config) {
	cfg.Upstreams = append(cfg.Upstreams, proxy.Upstream{URL: &url.URL{Scheme: "ws", Host: lostHost.String()}})
	cfg.FindBy(func(context.Context, string) ([]netip.Addr, error) { return nil, noHost })
}
