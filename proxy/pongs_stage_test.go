package proxy

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/metrics"
)

// othersPongs are what old peers answer to a ping with another payload: uWSGI and
// Simple-WebSocket-Server with none.
var othersPongs = []wire.Frame{wire.Pong(""), wire.Pong("AAA"), wire.Pong("a payload of its own")}

func TestPongThatIsNotAnEcho(t *testing.T) {
	for _, pong := range othersPongs {
		for _, side := range sides {
			t.Run(side.String()+": "+pong.String(), func(t *testing.T) {
				st := newStage(t, func(c *Config) {
					c.Client.Pong, c.UpstreamSide.Pong = heartbeat.LearnPong, heartbeat.LearnPong
					if side == client {
						c.UpstreamSide.Interval = 0
					} else {
						c.Client.Interval = 0
					}
				})
				p, other := st.way(side)
				for range 2 {
					st.pass(20 * time.Second)
					p.wantsPing("due")
					st.now = st.now.Add(time.Second)
					p.sends(pong)
				}
				st.counts(map[string]float64{
					"pongs_received_total{" + side.String() + "}": 2,
					"ping_rtt_seconds{" + side.String() + "}":     2,
				})
				if rtt, ok := st.l.session(p).legs[side].beat.RTT(); !ok || rtt < time.Second || rtt > 3*time.Second {
					t.Errorf("the last round trip is %v, %v, want one or two seconds", rtt, ok)
				}
				other.wantsNothing("nobody asked for a pong there")
				st.pass(19 * time.Second)
				p.wantsPing("due")
				st.pass(20 * time.Second)
				p.wants("its pongs have shown that it answers pings", wire.Close(1011, "keepalive ping timeout"))
				other.wantsClose("told", told[side])
				other.hangsUp()
				st.dropped(side, metrics.PingTimeout)
			})
		}
	}
}

func TestOnlyAnEchoTeachesIfOnlyPongsCount(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, func(c *Config) {
				c.Client = heartbeat.Rules{Interval: 20 * time.Second, Timeout: 20 * time.Second, Liveness: heartbeat.OnlyPong, Pong: heartbeat.LearnPong}
				c.UpstreamSide = c.Client
			})
			p, other := st.way(side)
			for range 5 {
				st.pass(20 * time.Second)
				p.wantsPing("due, and there is no deadline")
				p.sends(othersPongs...)
				other.sends(other.wantsPing("due"))
			}
			st.counts(map[string]float64{"pongs_received_total{" + side.String() + "}": 0})
		})
	}
}

// A pong that was sent before the ping left says nothing about the ping, however late it
// is read.
func TestPongFromBeforeThePing(t *testing.T) {
	early := func(masked bool) []byte { return wire.Encode(masked, wire.Text("before"), wire.Pong("")) }
	for _, side := range sides {
		count := "pongs_received_total{" + side.String() + "}"
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, nil)
			p, other := st.way(side)
			pinged(st, p, early(p.masks()))
			st.counts(map[string]float64{count: 0})
			p.sends(wire.Text("after"), wire.Pong(""))
			st.counts(map[string]float64{count: 1})
			other.read()
		})
		t.Run(side.String()+", in one read with the answer", func(t *testing.T) {
			st := newStage(t, nil)
			p, _ := st.way(side)
			p.pushes(early(p.masks()))
			st.now = st.now.Add(20 * time.Second)
			st.l.turn(st.now, nil)
			p.pushes(early(p.masks()))
			st.run()
			st.counts(map[string]float64{count: 1})
		})
		t.Run(side.String()+", byte by byte", func(t *testing.T) {
			st := newStage(t, nil)
			p, _ := st.way(side)
			pong := wire.Encode(p.masks(), wire.Pong("abc"))
			p.sendsBytes(pong[:1])
			st.pass(20 * time.Second)
			p.wantsPing("due")
			for _, b := range pong[1:] {
				p.sendsBytes([]byte{b})
			}
			st.counts(map[string]float64{count: 0})
			p.sends(wire.Pong("abc"))
			st.counts(map[string]float64{count: 1})
		})
		t.Run(side.String()+", while it is not read", func(t *testing.T) {
			st := newStage(t, nil)
			p, other := st.way(side)
			stuff(st, p, other)
			pinged(st, p, wire.Encode(p.masks(), wire.Pong("")))
			st.drains(other)
			st.counts(map[string]float64{count: 0})
		})
	}
}

// A peer on the same machine may answer before the write of the ping returns.
func TestPongAtOnce(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, nil)
			p, _ := st.way(side)
			pong := wire.Encode(p.masks(), wire.Pong(""))
			leg := st.l.session(p).legs[side].io.(*corked)
			leg.wrote = func() {
				if n, err := unix.Write(p.fd, pong); n != len(pong) {
					t.Error(err)
				}
			}
			st.pass(20 * time.Second)
			leg.wrote = nil
			st.counts(map[string]float64{
				"pongs_received_total{" + side.String() + "}": 1,
				"ping_rtt_seconds{" + side.String() + "}":     1,
			})
		})
	}
}

// Of a peer that has echoed a ping only echoes are answers. So the kernel is not asked
// any more what lies unread when a ping leaves.
func TestPeerThatEchoes(t *testing.T) {
	st := newStage(t, onlyAnyByteClients)
	c, u := st.session(false)
	pinged(st, c, wire.Encode(true, wire.Text("before")))
	if st.l.session(c).legs[client].pending == nil {
		t.Error("nothing is remembered of what lay unread")
	}
	u.wants("data", wire.Text("before"))
	c.sends(wire.Pong(""))
	st.pass(20 * time.Second)
	echo := c.wantsPing("due")
	if st.l.session(c).legs[client].pending != nil {
		t.Error("what lay unread long ago is still remembered")
	}
	c.sends(echo, wire.Pong("one-way"))
	st.pass(19 * time.Second)
	echo = pinged(st, c, wire.Encode(true, wire.Text("before")))
	if st.l.session(c).legs[client].pending != nil {
		t.Error("something is remembered of a peer that echoes")
	}
	u.wants("data", wire.Text("before"))
	c.sends(wire.Pong("one-way"))
	st.counts(map[string]float64{"pongs_received_total{client}": 2})
	c.sends(echo)
	st.counts(map[string]float64{"pongs_received_total{client}": 3, "ping_rtt_seconds{client}": 3})
	u.wantsNothing("pongs stay here")
}

// A pong that is not an echo does not show that the ping has arrived.
func TestPongThatIsNotAnEchoAcknowledgesNothing(t *testing.T) {
	st := newStage(t, onlyAnyByteClients)
	c, _ := st.session(false)
	c.slows()
	for range 3 {
		st.pass(20 * time.Second)
		c.sends(wire.Pong("one-way"))
	}
	if n := fixture.Counted(t, st.metrics.Registry())["ping_rtt_seconds{client}"]; n != 1 {
		t.Errorf("%v round trips are counted, want only that of the first ping: the others left behind it", n)
	}
}

// onlyAnyByteClients are pinged, by the rules that users get.
func onlyAnyByteClients(c *Config) { c.UpstreamSide.Interval = 0 }

// pinged lets a ping leave that finds these bytes unread, and returns its echo.
func pinged(st *stage, p *peer, unread []byte) (echo wire.Frame) {
	st.t.Helper()
	p.pushes(unread)
	st.now = st.now.Add(20 * time.Second)
	st.l.turn(st.now, nil)
	st.run()
	return p.wantsPing("due")
}

// A pong without an echo may be the answer to the other peer's ping, so it is passed on
// as well. An echo of our ping is never passed on.
func TestPongThatIsNotAnEchoIsForwarded(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := newStage(t, func(c *Config) { c.PeerPings = ForwardPings })
			p, other := st.way(side)
			st.pass(20 * time.Second)
			echo := p.wantsPing("due")
			other.sends(other.wantsPing("due"))
			p.sends(wire.Pong("whose?"))
			other.wants("it may be meant for this peer", wire.Pong("whose?"))
			p.sends(echo)
			other.wantsNothing("an echo of our ping, though the ping had an answer")
			st.counts(map[string]float64{"pongs_received_total{" + side.String() + "}": 1})
			if n := fixture.Counted(t, st.metrics.Registry())["ping_rtt_seconds{"+side.String()+"}"]; n != 1 {
				t.Errorf("%v round trips are counted, want 1", n)
			}
		})
	}
}
