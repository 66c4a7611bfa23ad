package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/wire"
	"holdfast/metrics"
)

// closes are what a peer may end a session with.
var closes = []wire.Frame{
	wire.Close(1000, ""), wire.Close(1001, ""), wire.Close(1002, ""), wire.Close(1003, ""), wire.Close(1007, ""),
	wire.Close(1008, ""), wire.Close(1009, ""), wire.Close(1010, ""), wire.Close(1011, ""), wire.Close(1012, ""),
	wire.Close(1013, ""), wire.Close(1014, ""), wire.Close(3000, ""), wire.Close(3999, ""), wire.Close(4000, ""),
	wire.Close(4999, ""), wire.EmptyClose(), wire.Close(1000, "bye"), wire.Close(4001, "grüße, 世界"),
	wire.Close(1008, strings.Repeat("r", 123)),
}

func TestPeersCloseIsPassedOnVerbatim(t *testing.T) {
	for i, begins := range closes {
		answers := closes[len(closes)-1-i]
		t.Run(fmt.Sprint("client's ", begins), func(t *testing.T) {
			st := newStage(t, nil)
			c, u := st.session(false)
			c.sends(begins, wire.Text("RFC 6455 1.4: this is discarded"))
			u.wants("the Close goes on as it is", begins)
			c.wantsNothing("the answer is the upstream's to give")
			u.sends(wire.Text("last words"), answers)
			c.wants("what the upstream still sends, and its answer", wire.Text("last words"), answers)
			c.wantsEnd("to the client we are the server, which ends TCP first (RFC 6455 7.1.1)")
			c.hangsUp()
			u.wantsNothing("to the upstream we are the client, and wait for its end")
			u.hangsUp()
			st.closed(client)
		})
		t.Run(fmt.Sprint("upstream's ", begins), func(t *testing.T) {
			st := newStage(t, nil)
			c, u := st.session(false)
			u.sends(begins)
			c.wants("the Close goes on as it is", begins)
			u.sends(wire.Text("too late"))
			c.wantsNothing("RFC 6455 1.4: data after a Close is discarded")
			c.sends(wire.Text("last words"), answers)
			u.wants("what the client still sends, and its answer", wire.Text("last words"), answers)
			c.wantsEnd("to the client we are the server, which ends TCP first (RFC 6455 7.1.1)")
			u.hangsUp()
			c.hangsUp()
			st.closed(upstream)
		})
	}
}

// A client's Close, answered, leaves in one segment with our end of the stream.
// Nothing else is held back for that, nor anything on the upstream's leg, where
// the other end comes first.
func TestOnlyTheLastCloseLeavesWithTheEnd(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sends(wire.Text("a"), wire.Close(1000, ""))
	u.sends(wire.Text("b"), wire.Close(1000, ""))
	c.wants("all of it", wire.Text("b"), wire.Close(1000, ""))
	if got, want := st.legs[client].last, []byte{0x88, 2, 0x03, 0xe8}; !bytes.Equal(got, want) {
		t.Errorf("written to the client as the last: %x, want %x", got, want)
	}
	if got := st.legs[upstream].last; got != nil {
		t.Errorf("written to the upstream as the last: %x", got)
	}
}

func TestBothPeersBeginToClose(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	u.pushes(wire.Encode(false, wire.Close(4002, "upstream's")))
	c.sends(wire.Close(4001, "client's"))
	c.wants("the other's Close", wire.Close(4002, "upstream's"))
	u.wants("the other's Close", wire.Close(4001, "client's"))
	c.wantsEnd("nothing follows a Close")
	u.hangsUp()
	c.hangsUp()
	st.closed(upstream) // its Close came first
}

// way returns both peers as who begins something, and the other one.
func (st *stage) way(begins Side) (from, to *peer) {
	c, u := st.session(false)
	if begins == upstream {
		return u, c
	}
	return c, u
}

// told is the Close code that the other peer gets for a fault of a side's.
var told = map[Side]int{client: 1001, upstream: 1012}

func TestCloseThatIsNotAnswered(t *testing.T) {
	for _, side := range sides {
		t.Run(fmt.Sprintf("by the %v, the other ends its TCP", side), func(t *testing.T) {
			st := newStage(t, nil)
			from, to := st.way(side)
			from.sends(wire.Close(4000, "x"))
			to.wants("the Close", wire.Close(4000, "x"))
			to.hangsUp()
			from.wants("its own code", wire.Close(4000, ""))
			from.hangsUp()
			st.dropped(opposite(side), metrics.EOF)
		})
		t.Run(fmt.Sprintf("by the %v, the other breaks off", side), func(t *testing.T) {
			var got Ended
			st := newStage(t, func(c *Config) { c.Ended = func(e *Ended) { got = *e } })
			from, to := st.way(side)
			from.sends(wire.Close(4000, "x"))
			to.wants("the Close", wire.Close(4000, "x"))
			st.l.forEach(func(s *session) {
				st.l.lost(s, opposite(side), unix.ECONNRESET)
				st.l.update(s)
			})
			from.wants("its own code", wire.Close(4000, ""))
			from.hangsUp()
			if want := noAnswer + ": connection reset by peer"; got.Detail != want {
				t.Errorf("the detail of the end is %q, want %q", got.Detail, want)
			}
			st.dropped(opposite(side), metrics.Reset)
		})
		for _, begins := range []wire.Frame{wire.EmptyClose(), wire.Close(4000, "")} {
			t.Run(fmt.Sprintf("by the %v, %v, the other is silent", side, begins), func(t *testing.T) {
				st := newStage(t, nil)
				from, to := st.way(side)
				from.sends(begins)
				to.wants("the Close", begins)
				st.pass(9 * time.Second)
				from.wantsNothing("CLOSE_TIMEOUT is not over")
				st.pass(time.Second)
				from.wants("its own code; an empty Close stays empty", begins)
				to.wantsEnd("it did not answer")
				from.hangsUp()
				st.dropped(opposite(side), metrics.CloseTimeout)
			})
		}
		t.Run(fmt.Sprintf("by the %v, who hangs up at once", side), func(t *testing.T) {
			st := newStage(t, nil)
			from, to := st.way(side)
			from.sends(wire.Close(1000, ""))
			from.hangsUp()
			to.wants("the Close", wire.Close(1000, ""))
			to.sends(wire.Close(1000, ""))
			to.hangsUp()
			st.closed(side)
		})
	}
}

// Peers that neither answer a Close nor hang up cannot keep a session.
func TestPeersThatStay(t *testing.T) {
	closing, violation := wire.Close(1000, ""), wire.Continuation("x")
	for name, last := range map[string]struct {
		does func(c, u *peer)
		goes func(c, u vandal) // on for as long as it can
	}{
		"client's Close":           {func(c, _ *peer) { c.sends(closing) }, nil},
		"upstream's Close":         {func(_, u *peer) { u.sends(closing) }, nil},
		"client's violation":       {func(c, _ *peer) { c.sends(violation) }, nil},
		"upstream's violation":     {func(_, u *peer) { u.sends(violation) }, nil},
		"half a Close":             {func(c, _ *peer) { c.sendsBytes(wire.Encode(true, closing)[:7]); c.hangsUp() }, nil},
		"both answered":            {func(c, u *peer) { c.sends(closing); u.sends(closing) }, nil},
		"both answered, a dribble": {func(c, u *peer) { c.sends(closing); u.sends(closing) }, func(c, _ vandal) { c.tries(wire.Text("x")) }},
		"client dribbles on":       {func(c, _ *peer) { c.sends(closing) }, func(c, _ vandal) { c.tries(wire.Text("x")) }},
		"upstream dribbles on":     {func(c, _ *peer) { c.sends(closing) }, func(_, u vandal) { u.tries(wire.Text("x")) }},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, nil)
			c, u := st.session(false)
			last.does(c, u)
			for range 21 { // twice CLOSE_TIMEOUT, once for either peer
				if last.goes != nil {
					last.goes(vandal{c}, vandal{u})
				}
				st.pass(time.Second)
			}
			if st.l.table.live != 0 {
				t.Error("the session is still there")
			}
			st.counts(map[string]float64{"sessions_opened_total": 1, "sessions_active": 0})
		})
	}
}

func TestTCPEndsWithoutClose(t *testing.T) {
	for _, side := range sides {
		why := wire.Close(told[side], side.String()+" connection lost")
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, nil)
			from, to := st.way(side)
			from.sends(wire.Text("last words"))
			from.hangsUp()
			to.wants("what it sent, and why it ends", wire.Text("last words"), why)
			to.sends(wire.Text("nobody hears"), wire.Close(why.Code(), ""))
			if side == upstream {
				to.wantsEnd("it has answered")
			}
			to.hangsUp()
			st.dropped(side, metrics.EOF)
		})
		t.Run(side.String()+" inside a frame", func(t *testing.T) {
			st := newStage(t, nil)
			from, to := st.way(side)
			whole := wire.Encode(from.masks(), wire.Text("this will never be whole"))
			part := whole[:len(whole)-3]
			from.sendsBytes(part)
			from.hangsUp()
			to.wantsBytes("the frame stays as it is, with no Close inside it", part)
			to.wantsEnd("a frame that cannot be whole ends with its connection")
			to.close()
			st.dropped(side, metrics.EOF)
		})
		t.Run(side.String()+" inside a header", func(t *testing.T) {
			st := newStage(t, nil)
			from, to := st.way(side)
			from.sendsBytes(wire.Encode(from.masks(), wire.Text(strings.Repeat("x", 200)))[:3])
			from.hangsUp()
			to.wants("nothing of the header went on, so there is a boundary", why)
			to.hangsUp()
			st.dropped(side, metrics.EOF)
		})
		t.Run(side.String()+" inside a message", func(t *testing.T) {
			st := newStage(t, nil)
			from, to := st.way(side)
			from.sends(wire.Text("to be continued").More())
			from.hangsUp()
			to.wants("a Close may stand between fragments", wire.Text("to be continued").More(), why)
			to.hangsUp()
			st.dropped(side, metrics.EOF)
		})
	}
}

func TestDrain(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	st.l.now = st.now
	st.l.drain(0)
	c.wants("told", wire.Close(1012, "proxy is shutting down"))
	u.wants("told", wire.Close(1001, "proxy is shutting down"))
	c.sends(wire.Close(1012, ""))
	u.sends(wire.Close(1001, ""))
	c.hangsUp()
	u.hangsUp()
	st.dropped(proxy, metrics.Drain)
}

func TestDrainInsideAFrame(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	whole := wire.Encode(true, wire.Text("hello, world"))
	c.sendsBytes(whole[:10])
	st.l.now = st.now
	st.l.drain(0)
	c.wants("its own direction is at a boundary", wire.Close(1012, "proxy is shutting down"))
	c.sendsBytes(append(whole[10:], wire.Encode(true, wire.Text("after it"))...))
	u.wants("the frame may end, then comes the Close", wire.Text("hello, world"), wire.Close(1001, "proxy is shutting down"))
	c.hangsUp()
	u.hangsUp()
	st.dropped(proxy, metrics.Drain)
}

func TestLimits(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		st := newStage(t, func(c *Config) {
			c.IdleTimeout = time.Minute
			c.Client.Interval, c.UpstreamSide.Interval = 0, 0
		})
		c, u := st.session(false)
		st.pass(59 * time.Second)
		c.sends(wire.Text("x"))
		u.wants("data", wire.Text("x"))
		st.pass(59 * time.Second)
		c.wantsNothing("a data frame begins a new minute")
		c.sends(wire.Ping("p"))
		c.wants("its ping is answered", wire.Pong("p"))
		st.pass(time.Second)
		c.wants("a ping is not data", wire.Close(1012, "idle timeout"))
		u.wants("told", wire.Close(1001, "idle timeout"))
		c.hangsUp()
		u.hangsUp()
		st.dropped(proxy, metrics.IdleTimeout)
	})
	t.Run("age", func(t *testing.T) {
		st := newStage(t, func(c *Config) {
			c.MaxSessionDuration = time.Hour
			c.Client.Interval, c.UpstreamSide.Interval = 0, 0
		})
		c, u := st.session(false)
		st.pass(53 * time.Minute)
		c.wantsNothing("a tenth early at the most")
		st.pass(13 * time.Minute)
		c.wants("a tenth late at the most", wire.Close(1012, "maximum session duration reached"))
		u.wants("told", wire.Close(1001, "maximum session duration reached"))
		c.hangsUp()
		u.hangsUp()
		st.dropped(proxy, metrics.MaxDuration)
	})
}

// A write that failed gives the leg a deadline, and nothing that comes later takes
// it away.
func TestCloseBehindAFailedWrite(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	if err := unix.Shutdown(u.fd, unix.SHUT_RD); err != nil { // it reads no more, and its stream goes on
		t.Fatal(err)
	}
	c.sends(wire.Text("it fails"))
	c.sends(wire.Close(1000, ""))
	st.pass(10 * time.Second)
	c.wants("its own code", wire.Close(1000, ""))
	c.hangsUp()
	st.dropped(upstream, metrics.CloseTimeout)
}

// A stop that has no time left cuts a close handshake in its middle.
func TestCutOfACloseHandshake(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	c.sends(wire.Close(1000, ""))
	u.wants("the Close", wire.Close(1000, ""))
	st.l.cutAll()
	c.hangsUp()
	u.hangsUp()
	st.dropped(proxy, metrics.Drain)
	if log := st.log.String(); strings.Contains(log, "without a cause") || !strings.Contains(log, "cut before the other side's Close was answered") {
		t.Errorf("the log says:\n%s", log)
	}
}
