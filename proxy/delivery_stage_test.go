package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/metrics"
)

// onlyClients are pinged in these tests, and only their pongs count.
func onlyClients(c *Config) {
	c.UpstreamSide.Interval = 0
	c.Client.Liveness = heartbeat.OnlyPong
}

// A service sends a snapshot, and the client's link needs a minute for it. The ping
// behind it cannot be answered before.
func TestPingBehindASlowLink(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	link := c.slows()
	u.sends(snapshot)
	st.pass(20 * time.Second)
	for range 11 { // the ping is out
		link.acknowledges(5_000)
		st.pass(5 * time.Second)
	}
	c.read()
	got := c.frames()
	if len(got) != 2 || got[0].Op != ws.OpBinary || got[1].Op != ws.OpPing {
		t.Fatalf("the client on a slow link got %v, want the snapshot and a ping", got)
	}
	link.acknowledges(60_000)
	st.pass(19 * time.Second)
	c.wantsNothing("a whole timeout from the moment the ping arrived")
	c.sends(wire.Pong(got[1].Payload))
	st.pass(time.Second)
	c.wantsPing("it lives: the next one is overdue")
	if n := fixture.Counted(t, st.metrics.Registry())["ping_rtt_seconds{client}"]; n != 0 {
		t.Errorf("%v round trips are counted, want none: they are the queue's", n)
	}
}

// anyByte is onlyClients, but any byte proves life.
func anyByte(c *Config) {
	onlyClients(c)
	c.Client.Liveness = heartbeat.AnyByte
}

// snapshot is more than fits into a link at once.
var snapshot = wire.Binary(strings.Repeat("s", 60_000))

// TestDeadlineMovesWithWhatArrives tells what becomes of a client whose TCP
// acknowledges as each story has it: when it is over there is some time left.
func TestDeadlineMovesWithWhatArrives(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		story  func(st *stage, c, u *peer)
		left   time.Duration
		told   string
		as     Reason
	}{
		// Its TCP answers the kernel's probes, which a dead host does not; a frozen
		// program's does too. So it has WRITE_TIMEOUT.
		{"closed window", anyByte, func(st *stage, c, u *peer) {
			c.slows().full = true
			u.sends(snapshot)
			st.pass(20 * time.Second)
			st.pass(29 * time.Second)
		}, 2 * time.Second, "client keepalive ping timeout", metrics.PingTimeout},
		{"closed window, and only a pong is life", onlyClients, func(st *stage, c, u *peer) {
			c.slows().full = true
			u.sends(snapshot)
			st.pass(20 * time.Second)
			st.pass(19 * time.Second)
		}, time.Second, "client keepalive ping timeout", metrics.PingTimeout},
		// Segments behind a lost one arrive and are acknowledged as such, while the lost
		// one waits behind them in the link's queue. Then the acknowledgements end.
		{"lost segment", onlyClients, func(st *stage, c, u *peer) {
			link := c.slows()
			u.sends(snapshot)
			st.pass(20 * time.Second)
			link.gap = true
			for range 8 {
				link.acknowledges(0)
				st.pass(10 * time.Second)
			}
		}, 10 * time.Second, "client keepalive ping timeout", metrics.PingTimeout},
		{"dead host", onlyClients, func(st *stage, c, _ *peer) {
			c.slows()
			st.pass(20 * time.Second)
			st.pass(19 * time.Second)
		}, time.Second, "client keepalive ping timeout", metrics.PingTimeout},
		// It acknowledges nothing, whatever goes on being sent to it.
		{"dead host that is sent to", onlyClients, func(st *stage, c, u *peer) {
			u.sends(wire.Text("before the host died"))
			c.slows()
			st.pass(20 * time.Second)
			for range 19 {
				u.sends(wire.Text("on and on"))
				st.pass(time.Second)
			}
		}, time.Second, "client keepalive ping timeout", metrics.PingTimeout},
		// What was acknowledged before the host died counts.
		{"host that dies under a load", onlyClients, func(st *stage, c, u *peer) {
			link := c.slows()
			u.sends(snapshot)
			st.pass(20 * time.Second)
			st.pass(7 * time.Second)
			link.acknowledges(30_000) // the last ones
			st.pass(19 * time.Second)
		}, time.Second, "client keepalive ping timeout", metrics.PingTimeout},
		// Its kernel acknowledges the ping.
		{"frozen program", onlyClients, func(st *stage, c, u *peer) {
			link := c.slows()
			st.pass(20 * time.Second)
			for range 19 {
				u.sends(wire.Text("on and on"))
				link.acknowledges(1 << 20)
				st.pass(time.Second)
			}
		}, time.Second, "client keepalive ping timeout", metrics.PingTimeout},
		// epoll calls a socket writable when a third of its buffer is free, which may
		// take longer than WRITE_TIMEOUT: what is acknowledged counts.
		{"slow link without pings", func(c *Config) { c.Client.Interval, c.UpstreamSide.Interval = 0, 0 }, func(st *stage, c, u *peer) {
			link := c.slows()
			stuff(st, u, c)
			for range 10 {
				st.pass(25 * time.Second)
				link.acknowledges(100)
			}
			st.pass(29 * time.Second)
		}, time.Second, "client write timeout", metrics.WriteTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, test.change)
			c, u := st.session(false)
			test.story(st, c, u)
			u.wantsNothing("the deadline is not over")
			st.pass(test.left)
			u.wants("nothing has moved for a whole timeout", wire.Close(1001, test.told))
			u.hangsUp()
			st.dropped(client, test.as)
		})
	}
}

func TestRoundTripOfAnIdleSessionIsMeasured(t *testing.T) {
	st := newStage(t, onlyClients)
	c, _ := st.session(false)
	for range 3 {
		st.pass(20 * time.Second)
		c.sends(c.wantsPing("due"))
	}
	if n := fixture.Counted(t, st.metrics.Registry())["ping_rtt_seconds{client}"]; n != 3 {
		t.Errorf("%v round trips are counted, want 3", n)
	}
}

// A program that reads slowly reaches the ping late. That its TCP has no room, and
// goes on acknowledging, shows that it reads.
func TestSlowProgramIsAlive(t *testing.T) {
	for _, change := range []func(*Config){anyByte, onlyClients} {
		st := newStage(t, change)
		liveness := st.server.cfg.Client.Liveness
		c, u := st.session(false)
		st.pass(20*time.Second + 20*time.Second/60)
		link := c.slows() // which takes the ping
		link.acknowledges(1 << 20)
		stuff(st, u, c)
		link.full = true
		for range 30 { // its reads are in the kernel's hands, and what it reads first is a ping
			st.pass(time.Second)
			c.readsOnly(8 << 10)
			link.acknowledges(8 << 10)
		}
		if alive := st.l.session(c) != nil; alive != (liveness == heartbeat.AnyByte) {
			t.Errorf("liveness %v: alive %v", liveness, alive)
		}
	}
}

// The peer of a Close cannot answer it before it has got it.
func TestCloseBehindASlowLink(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	link := c.slows()
	u.sends(snapshot, wire.Close(4000, "done"))
	for range 12 { // far longer than CLOSE_TIMEOUT
		st.pass(5 * time.Second)
		link.acknowledges(5_000)
	}
	u.wantsNothing("the client has not got the Close yet")
	link.acknowledges(1 << 20)
	st.pass(9 * time.Second)
	c.wants("everything, and the Close", snapshot, wire.Close(4000, "done"))
	c.sends(wire.Close(4000, "done"))
	u.wants("the answer", wire.Close(4000, "done"))
	c.hangsUp()
	u.hangsUp()
	st.closed(upstream)
}

// A link that acknowledges a byte now and then does not keep an ended session.
func TestEndIsBoundedInAll(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	link := c.slows()
	u.sends(snapshot, wire.Close(4000, "done"))
	for range 60 {
		link.acknowledges(1)
		st.pass(5 * time.Second)
	}
	if st.l.session(c) == nil {
		t.Fatal("cut before its time")
	}
	st.pass(10 * time.Second)
	u.wants("its own code: the client did not answer", wire.Close(4000, ""))
	u.hangsUp()
	st.dropped(client, metrics.CloseTimeout)
}
