package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/heartbeat"
	"holdfast/internal/wire"
	"holdfast/metrics"
)

// RFC 6455 5.4 lets control frames in between the fragments of a message, but some old
// peers lose the fragments before one. So ours wait for the message's end, for a while.

// lag returns how late all pings together have left.
func (st *stage) lag() time.Duration {
	st.t.Helper()
	families, err := st.metrics.Registry().Gather()
	if err != nil {
		st.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "holdfast_ping_lag_seconds" {
			return time.Duration(family.GetMetric()[0].GetHistogram().GetSampleSum() * float64(time.Second))
		}
	}
	st.t.Fatal("there is no lag")
	return 0
}

// begins sends the first fragment of a message, which arrives.
func begins(from, to *peer) {
	from.st.t.Helper()
	from.sends(wire.Text("to be ").More())
	to.wants("the first fragment", wire.Text("to be ").More())
}

func TestPingWaitsForTheEndOfAMessage(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, nil)
			to, from := st.way(side)
			begins(from, to)
			st.pass(20 * time.Second)
			from.sends(from.wantsPing("this peer gets no message"))
			st.pass(4 * time.Second)
			from.sends(wire.Ping("its own, in between"), wire.Continuation("conti").More())
			from.wants("answered", wire.Pong("its own, in between"))
			to.wants("no ping between fragments", wire.Continuation("conti").More())
			from.sends(wire.Continuation("nued"), wire.Text("next"))
			to.read()
			got := to.frames()
			if len(got) != 3 || got[0] != wire.Continuation("nued") || got[1].Op != ws.OpPing || got[2] != wire.Text("next") {
				t.Fatalf("%v got %v; want the ping at the end of the message", side, got)
			}
			to.sends(wire.Pong(got[1].Payload))
			if lag := st.lag(); lag > 0 {
				t.Errorf("the pings were %v late, want them in time", lag)
			}
		})
	}
}

func TestPingWaitsForAQuarterOfItsInterval(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, func(c *Config) { c.UpstreamSide.Pong = heartbeat.RequirePong })
			to, from := st.way(side)
			begins(from, to)
			st.pass(20 * time.Second)
			from.sends(from.wantsPing("this peer gets no message"))
			st.pass(4900 * time.Millisecond)
			to.wantsNothing("it may wait for 5 s")
			st.pass(100 * time.Millisecond)
			to.wantsPing("between two fragments, since the message goes on")
			if lag := st.lag(); lag > 2*wheelLag {
				t.Errorf("the pings were %v late, want it counted from the end of the wait", lag)
			}
			st.pass(15 * time.Second)
			from.sends(from.wantsPing("due"))
			st.pass(4900 * time.Millisecond)
			from.wantsNothing("a dead peer in the middle of a message is found a quarter later")
			st.pass(100 * time.Millisecond)
			to.wantsClose("it has answered nothing", 1011)
			from.wantsClose("told", told[side])
			from.hangsUp()
			st.dropped(side, metrics.PingTimeout)
		})
	}
}

// A ping that has waited long enough leaves at the end of the frame that is under way.
func TestPingThatHasWaitedLeavesAtTheEndOfAFrame(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	begins(c, u)
	whole := wire.Encode(true, wire.Continuation(strings.Repeat("x", 1000)).More(), wire.Continuation("the end"))
	c.sendsBytes(whole[:500])
	st.pass(27 * time.Second)
	c.sends() // nothing: the loop is asked
	u.read()
	if len(u.got) != 500 {
		t.Fatalf("upstream has %d bytes, want the 500 of the unfinished frame", len(u.got))
	}
	c.sendsBytes(whole[500:])
	u.read()
	got := u.frames()
	if len(got) != 3 || got[1].Op != ws.OpPing || got[2] != wire.Continuation("the end") {
		t.Fatalf("upstream got %v; want the ping at the end of the frame", got)
	}
	if lag := st.lag(); lag < 1900*time.Millisecond || lag > 2100*time.Millisecond {
		t.Errorf("the ping was %v late, want 2 s: from the end of its wait", lag)
	}
}

func TestPongWaitsForTheEndOfAMessage(t *testing.T) {
	for _, test := range []struct {
		interval, wait time.Duration
	}{
		{20 * time.Second, 5 * time.Second},
		{8 * time.Second, 2 * time.Second},
		{time.Hour, 5 * time.Second}, // the peer's own timeout is not known
		{0, 5 * time.Second},
	} {
		for _, side := range sides {
			t.Run(side.String()+" every "+test.interval.String(), func(t *testing.T) {
				st := newStage(t, func(c *Config) {
					c.Client.Interval, c.UpstreamSide.Interval = test.interval, test.interval
				})
				to, from := st.way(side)
				begins(from, to)
				to.sends(wire.Ping("a"))
				to.wantsNothing("its pong waits")
				from.sends(wire.Continuation("continued"))
				to.wants("its pong, after the message", wire.Continuation("continued"), wire.Pong("a"))

				begins(from, to)
				to.sends(wire.Ping("b"))
				st.pass(test.wait - 200*time.Millisecond)
				to.sends(wire.Ping("c"))
				to.wantsNothing("its pong waits")
				st.pass(200 * time.Millisecond)
				to.wants("the latest pong, as soon as the first had waited long enough", wire.Pong("c"))
				from.sends(wire.Continuation("continued"))
				to.wants("the message goes on", wire.Continuation("continued"))
				if st.l.session(to).legs[side].pending != nil {
					t.Error("a pong that was sent is still remembered")
				}
			})
		}
	}
}

func TestCloseWaitsForTheEndOfAMessage(t *testing.T) {
	drain := func(st *stage) {
		st.l.now = st.now
		st.l.drain(0)
		st.run()
	}
	code := map[Side]int{client: 1012, upstream: 1001}
	for _, side := range sides {
		closing := wire.Close(code[side], "proxy is shutting down")
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, nil)
			to, from := st.way(side)
			begins(from, to)
			drain(st)
			from.wantsClose("its own message is not there to be waited for", code[from.side])
			to.wantsNothing("the message may still end")
			st.pass(4 * time.Second)
			from.sends(wire.Continuation("continued"), wire.Text("too late"))
			to.wants("the whole message, then the Close", wire.Continuation("continued"), closing)
			to.sends(wire.Close(code[side], ""))
			from.sends(wire.Close(code[from.side], ""))
			to.hangsUp()
			from.hangsUp()
			st.dropped(proxy, metrics.Drain)
		})
		t.Run(side.String()+", which does not come", func(t *testing.T) {
			st := newStage(t, nil)
			to, from := st.way(side)
			begins(from, to)
			drain(st)
			st.pass(4900 * time.Millisecond)
			to.wantsNothing("half of CLOSE_TIMEOUT is not over")
			st.pass(100 * time.Millisecond)
			to.wants("between two fragments, rather than never", closing)
			st.pass(4 * time.Second)
			to.sends(wire.Close(code[side], ""))
			if side == client {
				to.wantsEnd("it had time to answer")
			}
			to.hangsUp()
			from.hangsUp()
			st.dropped(proxy, metrics.Drain)
		})
		for name, ends := range map[string]func(*peer){
			"whose sender closes":  func(from *peer) { from.sends(wire.Close(code[from.side], "")) },
			"whose sender is gone": func(from *peer) { from.hangsUp() },
		} {
			t.Run(side.String()+", "+name, func(t *testing.T) {
				st := newStage(t, nil)
				to, from := st.way(side)
				begins(from, to)
				drain(st)
				to.wantsNothing("the message may still end")
				ends(from)
				to.wants("now it cannot", closing)
				to.hangsUp()
				from.hangsUp()
				st.dropped(proxy, metrics.Drain)
			})
		}
		t.Run(side.String()+", behind a tail", func(t *testing.T) {
			st := newStage(t, nil)
			to, from := st.way(side)
			from.sends(wire.Binary("").More())
			for st.l.session(to).legs[side].tail == nil {
				from.sends(wire.Continuation(strings.Repeat("z", 50_000)).More())
			}
			drain(st)
			st.pass(8 * time.Second)
			to.read()
			got := to.frames()
			if got[len(got)-1].Op != ws.OpContinuation {
				t.Fatalf("%v got %v as the last, want no Close: the tail was in its way", side, got[len(got)-1])
			}
			from.sends(wire.Continuation("the end"))
			to.wants("the message has ended", wire.Continuation("the end"), closing)
			to.hangsUp()
			from.hangsUp()
			st.dropped(proxy, metrics.Drain)
		})
		t.Run(side.String()+", with a tail meanwhile", func(t *testing.T) {
			st := newStage(t, nil)
			to, from := st.way(side)
			begins(from, to)
			drain(st)
			st.pass(3 * time.Second)
			for st.l.session(to).legs[side].tail == nil {
				from.sends(wire.Continuation(strings.Repeat("z", 50_000)).More())
			}
			to.read()
			to.frames()
			st.pass(1900 * time.Millisecond)
			to.wantsNothing("half of CLOSE_TIMEOUT is not over")
			st.pass(100 * time.Millisecond)
			to.wants("the tail has put nothing off", closing)
			to.hangsUp()
			from.hangsUp()
			st.dropped(proxy, metrics.Drain)
		})
	}
}
