package proxy

import (
	"strings"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/wire"
	"holdfast/metrics"
)

func TestPingsBothPeers(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	st.pass(20*time.Second - 20*time.Second/60)
	c.wantsNothing("the first ping comes one interval after opening, and early by a sixtieth at most")
	u.wantsNothing("it is pinged by the same rule")
	st.pass(20 * time.Second / 60)
	cpong, upong := c.wantsPing("due"), u.wantsPing("due")
	c.sends(cpong)
	u.sends(upong)
	u.wantsNothing("pongs to our pings stay here")
	c.wantsNothing("pongs to our pings stay here")
	st.pass(20 * time.Second)
	c.wantsPing("one interval after the last")
	st.counts(map[string]float64{
		"pings_sent_total{client}":     2,
		"pings_sent_total{upstream}":   2,
		"pongs_received_total{client}": 1,
	})
}

func TestClientThatMissesItsPong(t *testing.T) {
	st := newStage(t, func(c *Config) { c.UpstreamSide.Interval = 0 })
	c, u := st.session(false)
	st.pass(21 * time.Second)
	c.wantsPing("due")
	st.pass(20 * time.Second)
	c.wants("told", wire.Close(1011, "keepalive ping timeout"))
	c.wantsEnd("a dead leg is closed at once")
	u.wants("told", wire.Close(1001, "client keepalive ping timeout"))
	u.hangsUp()
	st.dropped(client, metrics.PingTimeout)
}

func TestUpstreamThatNeverAnsweredPings(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	for range 10 {
		st.pass(20 * time.Second)
		c.sends(c.wantsPing("due"))
		u.wantsPing("it is pinged, but there is no deadline before its first pong")
	}
}

func TestUpstreamThatStopsAnswering(t *testing.T) {
	st := newStage(t, func(c *Config) { c.Client.Interval = 0 })
	c, u := st.session(false)
	st.pass(20 * time.Second)
	u.sends(u.wantsPing("due"))
	st.pass(20 * time.Second)
	u.wantsPing("the next one has a deadline, since it has answered once")
	st.pass(19 * time.Second)
	c.wantsNothing("the deadline is not over")
	st.pass(time.Second)
	c.wants("told", wire.Close(1012, "upstream keepalive ping timeout"))
	u.wants("told", wire.Close(1011, "keepalive ping timeout"))
	u.wantsEnd("a dead leg is closed at once")
	c.hangsUp()
	st.dropped(upstream, metrics.PingTimeout)

	c, u = st.session(false)
	st.pass(21 * time.Second)
	u.wantsPing("due")
	st.pass(20 * time.Second)
	c.wants("the session before has learnt that it can answer", wire.Close(1012, "upstream keepalive ping timeout"))
}

func TestAnyByteProvesLife(t *testing.T) {
	for _, liveness := range []heartbeat.Liveness{heartbeat.AnyByte, heartbeat.OnlyPong} {
		st := newStage(t, func(c *Config) { c.Client.Liveness = liveness })
		c, u := st.session(false)
		st.pass(21 * time.Second)
		c.wantsPing("due")
		u.wantsPing("due")
		c.sends(wire.Text("busy"))
		u.wants("data", wire.Text("busy"))
		st.pass(19 * time.Second)
		if liveness == heartbeat.AnyByte {
			c.wantsPing("the next one: it lives")
			continue
		}
		st.pass(time.Second)
		c.wants("data is not enough", wire.Close(1011, "keepalive ping timeout"))
	}
}

// Only the echo of a ping's payload answers it (RFC 6455 5.5.3).
func TestWrongPongIsNotAnAnswer(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	st.pass(21 * time.Second)
	c.wantsPing("due")
	c.sends(wire.Pong("something else"), wire.Pong(""))
	st.pass(20 * time.Second)
	c.wants("nobody asked for these pongs", wire.Close(1011, "keepalive ping timeout"))
	u.wants("no pong is passed on", wire.Close(1001, "client keepalive ping timeout"))
	u.hangsUp()
	st.dropped(client, metrics.PingTimeout)
}

func TestPeersPingsAreAnswered(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sends(wire.Ping("a"))
	c.wants("answered here", wire.Pong("a"))
	c.sends(wire.Ping("a"), wire.Pong("unasked"), wire.Ping(""), wire.Text("data"), wire.Ping("z"))
	c.wants("the latest is answered, and one answer to a read is enough", wire.Pong("z"))
	u.wants("pings stay here", wire.Text("data"))
	st.counts(map[string]float64{"pings_answered_total{client}": 2})
	u.wantsNothing("pings stay here")
	u.sends(wire.Ping("b"))
	u.wants("answered, masked", wire.Pong("b"))
}

func TestPingsForwarded(t *testing.T) {
	st := newStage(t, func(c *Config) { c.PeerPings = ForwardPings })
	c, u := st.session(false)
	c.sends(wire.Ping("a"))
	u.wants("passed on", wire.Ping("a"))
	u.sends(wire.Pong("a"))
	c.wants("passed back", wire.Pong("a"))
	for _, way := range [][2]*peer{{c, u}, {u, c}} {
		way[0].sends(wire.Conversation()...)
		way[1].wants("pings and pongs are the peers' own", wire.Conversation()...)
	}
	st.pass(21 * time.Second)
	c.sends(c.wantsPing("ours"))
	ours := u.wantsPing("ours, and not the pong to it")
	u.sends(ours)
	c.wantsNothing("the pong to our ping stays here")
	u.sends(ours)
	c.wants("the second time nobody asked for it", ours)
}

func TestNoPingInsideAFrame(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	whole := wire.Encode(true, wire.Binary(strings.Repeat("x", 1000)))
	c.sendsBytes(whole[:500])
	st.pass(21 * time.Second)
	u.read()
	if len(u.got) != 500 {
		t.Fatalf("upstream has %d bytes, want the 500 of the unfinished frame", len(u.got))
	}
	u.sendsBytes(wire.Encode(false, wire.Ping("p")))
	c.sendsBytes(append(whole[500:], wire.Encode(true, wire.Text("next"))...))
	u.read()
	got := u.frames()
	if len(got) != 4 || got[0] != wire.Binary(strings.Repeat("x", 1000)) || got[1] != wire.Pong("p") ||
		got[2].Op != 9 || got[3] != wire.Text("next") {
		t.Fatalf("upstream got %v; want pong and ping between the two frames", got)
	}
}

func TestFloodOfPingsCostsOnePong(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	big := wire.Encode(false, wire.Binary(strings.Repeat("x", 60_000)))
	u.sendsBytes(big[:len(big)-1])
	for i := range 1000 {
		c.sends(wire.Ping(strings.Repeat("y", i%125)), wire.Ping("latest"))
	}
	u.sendsBytes(big[len(big)-1:])
	c.read()
	got := c.frames()
	if len(got) != 2 || got[1] != wire.Pong("latest") {
		t.Fatalf("client got %v, want the frame and one pong", got)
	}
}

// A process that is stopped within a turn, before it sends a ping, and goes on
// much later, gives the answer its whole time from then on.
func TestStopWithinATurn(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	began := st.now.Add(20 * time.Second)
	st.now = began.Add(time.Hour)
	st.l.turn(began, nil)
	st.run()
	cpong, upong := c.wantsPing("it was due before the stop"), u.wantsPing("it was due before the stop")
	st.pass(19 * time.Second)
	c.wantsNothing("its time is not over")
	c.sends(cpong)
	u.sends(upong)
	st.counts(map[string]float64{
		"pongs_received_total{client}": 1,
		"sessions_active":              1,
	})
}
