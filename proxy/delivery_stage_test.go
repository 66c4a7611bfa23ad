package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
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
	u.sends(wire.Binary(strings.Repeat("s", 60_000)))
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
	if n := st.roundTrips(client); n != 0 {
		t.Errorf("%d round trips are counted, want none: they are the queue's", n)
	}
}

// A program that reads slowly has its window closed for long. Its TCP answers the
// kernel's probes meanwhile, which a dead host does not; a frozen program's does too.
func TestPingBeforeAClosedWindow(t *testing.T) {
	for _, liveness := range []heartbeat.Liveness{heartbeat.AnyByte, heartbeat.OnlyPong} {
		st := newStage(t, func(c *Config) {
			onlyClients(c)
			c.Client.Liveness = liveness
		})
		c, u := st.session(false)
		link := c.slows()
		link.full = true
		u.sends(wire.Binary(strings.Repeat("s", 60_000)))
		st.pass(20 * time.Second)
		st.pass(29 * time.Second)
		if alive := st.l.session(c) != nil; alive != (liveness == heartbeat.AnyByte) {
			t.Fatalf("liveness %v: alive %v, want WRITE_TIMEOUT for it where any byte is life, else the ping timeout", liveness, alive)
		}
		st.pass(2 * time.Second)
		u.wants("nothing has moved for WRITE_TIMEOUT", wire.Close(1001, "client keepalive ping timeout"))
		u.hangsUp()
		st.dropped(client, metrics.PingTimeout)
	}
}

// Segments behind a lost one arrive and are acknowledged as such, while the lost one
// waits behind them in the link's queue.
func TestPingBehindALostSegment(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	link := c.slows()
	u.sends(wire.Binary(strings.Repeat("s", 60_000)))
	st.pass(20 * time.Second)
	link.gap = true
	for range 8 {
		link.acknowledges(0)
		st.pass(10 * time.Second)
	}
	if st.l.session(c) == nil {
		t.Fatal("dropped although its TCP goes on acknowledging what comes behind the gap")
	}
	st.pass(10 * time.Second)
	u.wants("the acknowledgements have ended, too", wire.Close(1001, "client keepalive ping timeout"))
	u.hangsUp()
	st.dropped(client, metrics.PingTimeout)
}

func (st *stage) roundTrips(side Side) (n uint64) {
	families, err := st.metrics.Registry().Gather()
	if err != nil {
		st.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "holdfast_ping_rtt_seconds" && m.GetLabel()[0].GetValue() == side.String() {
				n = m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

func TestRoundTripOfAnIdleSessionIsMeasured(t *testing.T) {
	st := newStage(t, onlyClients)
	c, _ := st.session(false)
	for range 3 {
		st.pass(20 * time.Second)
		c.sends(c.wantsPing("due"))
	}
	if n := st.roundTrips(client); n != 3 {
		t.Errorf("%d round trips are counted, want 3", n)
	}
}

// A dead host acknowledges nothing, whatever goes on being sent to it.
func TestDeadHostIsFoundInTime(t *testing.T) {
	for _, busy := range []bool{false, true} {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		if busy {
			u.sends(wire.Text("before the host died"))
		}
		c.slows()
		st.pass(20 * time.Second)
		for range 19 {
			if busy {
				u.sends(wire.Text("on and on"))
			}
			st.pass(time.Second)
		}
		if st.l.session(c) == nil {
			t.Fatal("dropped before the timeout was over")
		}
		st.pass(time.Second)
		u.wants("a whole timeout after the ping", wire.Close(1001, "client keepalive ping timeout"))
		u.hangsUp()
		st.dropped(client, metrics.PingTimeout)
	}
}

// A host dies while the ping is under way: what was acknowledged before counts.
func TestHostThatDiesUnderALoad(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	link := c.slows()
	u.sends(wire.Binary(strings.Repeat("s", 60_000)))
	st.pass(20 * time.Second)
	st.pass(7 * time.Second)
	link.acknowledges(30_000) // the last ones
	st.pass(19 * time.Second)
	if st.l.session(c) == nil {
		t.Fatal("dropped before a timeout was over in which nothing moved")
	}
	st.pass(time.Second)
	u.wants("nothing has moved for a whole timeout", wire.Close(1001, "client keepalive ping timeout"))
	u.hangsUp()
	st.dropped(client, metrics.PingTimeout)
}

// A frozen program's kernel acknowledges the ping.
func TestFrozenProgramIsFoundInTime(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	link := c.slows()
	st.pass(20 * time.Second)
	for range 19 {
		u.sends(wire.Text("on and on"))
		link.acknowledges(1 << 20)
		st.pass(time.Second)
	}
	if st.l.session(c) == nil {
		t.Fatal("dropped before the timeout was over")
	}
	st.pass(time.Second)
	u.wants("a whole timeout after the ping", wire.Close(1001, "client keepalive ping timeout"))
	u.hangsUp()
	st.dropped(client, metrics.PingTimeout)
}

// A program that reads slowly reaches the ping late. That its TCP has no room, and
// goes on acknowledging, shows that it reads.
func TestSlowProgramIsAlive(t *testing.T) {
	for _, liveness := range []heartbeat.Liveness{heartbeat.AnyByte, heartbeat.OnlyPong} {
		st := newStage(t, func(c *Config) {
			onlyClients(c)
			c.Client.Liveness = liveness
		})
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

// readsOnly takes a part of what the loop has written, and lets that act.
func (p *peer) readsOnly(n int) {
	p.st.t.Helper()
	buf := make([]byte, n)
	for n > 0 && !p.ended {
		got, err := unix.Read(p.fd, buf[:n])
		if err == unix.EAGAIN {
			return
		}
		p.ended = err != nil || got == 0
		p.got = append(p.got, buf[:max(got, 0)]...)
		n -= got
		p.st.run()
	}
}

// epoll calls a socket writable when a third of its buffer is free, which may take
// longer than WRITE_TIMEOUT: what is acknowledged counts.
func TestWriteTimeoutIsNotAboutWriting(t *testing.T) {
	st := newStage(t, func(c *Config) { c.Client.Interval, c.UpstreamSide.Interval = 0, 0 })
	c, u := st.session(false)
	link := c.slows()
	stuff(st, u, c)
	for range 10 {
		st.pass(25 * time.Second)
		link.acknowledges(100)
	}
	if st.l.session(c) == nil {
		t.Fatal("dropped although its TCP goes on acknowledging")
	}
	st.pass(29 * time.Second)
	u.wantsNothing("WRITE_TIMEOUT is not over")
	st.pass(time.Second)
	u.wants("nothing was acknowledged for WRITE_TIMEOUT", wire.Close(1001, "client write timeout"))
	u.hangsUp()
	st.dropped(client, metrics.WriteTimeout)
}

// The peer of a Close cannot answer it before it has got it.
func TestCloseBehindASlowLink(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	link := c.slows()
	snapshot := wire.Binary(strings.Repeat("s", 60_000))
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
	u.sends(wire.Binary(strings.Repeat("s", 60_000)), wire.Close(4000, "done"))
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

// What arrived before a deadline is read before it is judged, be it more than one
// read holds.
func TestNothingIsJudgedUnread(t *testing.T) {
	small := wire.Encode(true, wire.Binary("12345678")) // 63 KiB hold a whole number of them
	flood := []byte(strings.Repeat(string(small), 10_000))
	t.Run("a pong", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		st.pass(21 * time.Second)
		answer := c.wantsPing("due")
		c.pushes(append(flood, wire.Encode(true, answer)...))
		st.now = st.now.Add(10 * time.Minute) // the process was stopped
		st.drains(u)
		c.wantsPing("the pong was there: the next ping, and no Close")
	})
	t.Run("a Close", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		u.sends(wire.Close(1000, ""))
		c.wants("the Close", wire.Close(1000, ""))
		c.pushes(append(flood, wire.Encode(true, wire.Close(1000, ""))...))
		st.now = st.now.Add(10 * time.Minute)
		st.drains(u)
		u.hangsUp()
		c.hangsUp()
		st.closed(upstream)
	})
	t.Run("a Close behind what the other takes slowly", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		u.sends(wire.Close(1000, ""))
		c.wants("the Close", wire.Close(1000, ""))
		c.pushes(append(bytes.Repeat(flood, 3), wire.Encode(true, wire.Close(1000, ""))...))
		for range 5 { // the answer is not read while the other leg has a tail
			st.pass(9 * time.Second)
			u.readsOnly(100 << 10)
		}
		st.drains(u)
		u.hangsUp()
		c.hangsUp()
		st.closed(upstream)
	})
	t.Run("no pong", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		st.pass(21 * time.Second)
		c.wantsPing("due")
		c.pushes(flood)
		st.pass(20 * time.Second)
		st.drains(u)
		c.wants("all was read, and it was not there", wire.Close(1011, "keepalive ping timeout"))
	})
}

// pushes fills the way to the loop without letting it act.
func (p *peer) pushes(b []byte) {
	p.st.t.Helper()
	for _, fd := range []int{p.fd, p.far} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
			p.st.t.Fatal(err)
		}
	}
	if n, err := unix.Write(p.fd, b); n != len(b) {
		p.st.t.Fatalf("%d of %d bytes are in the kernel: %v", n, len(b), err)
	}
}

// drains lets the loop act while a peer takes whatever comes.
func (st *stage) drains(to *peer) {
	st.t.Helper()
	for range 100 {
		st.run()
		to.read()
	}
}

// After its client was dropped an upstream that goes on sending is not read for ever.
func TestFloodAfterTheEnd(t *testing.T) {
	flood := func(p *peer) (sent int) {
		b := wire.Encode(p.side == client, wire.Binary(strings.Repeat("f", 60_000)))
		for range 1000 {
			n, err := unix.Write(p.fd, b)
			if err != nil {
				return sent
			}
			sent += n
			p.st.run()
		}
		return sent
	}
	t.Run("the other peer is gone", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		c.hangsUp()
		u.wants("told", wire.Close(1001, "client connection lost"))
		if n := flood(u); n < toldMax<<10 || n > 2*toldMax<<10 {
			t.Errorf("%d bytes were taken after the end, want somewhat more than %d", n, toldMax<<10)
		}
		st.dropped(client, metrics.EOF)
	})
	t.Run("its Close was its last word", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		c.sends(wire.Close(1000, ""))
		if n := flood(c); n < lastWordMax<<10 || n > 2*lastWordMax<<10 {
			t.Errorf("%d bytes were taken after the Close, want about %d", n, lastWordMax<<10)
		}
		u.wants("the Close", wire.Close(1000, ""))
		u.sends(wire.Close(1000, ""))
		u.hangsUp()
		st.closed(client)
	})
	t.Run("it has not got its Close", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		u.slows()
		c.hangsUp()
		if n := flood(u); n < 50_000_000 {
			t.Errorf("only %d bytes were taken from a peer that cannot know", n)
		}
	})
}

// A peer that owes the answer to a Close, and floods instead, has not answered.
func TestFloodInsteadOfAnAnswer(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	c.sends(wire.Close(1000, ""))
	c.hangsUp() // and takes nothing of what still comes
	u.wants("the Close", wire.Close(1000, ""))
	b := wire.Encode(false, wire.Binary(strings.Repeat("f", 60_000)))
	for range 1000 {
		if _, err := unix.Write(u.fd, b); err != nil {
			break
		}
		st.run()
	}
	st.dropped(upstream, metrics.CloseTimeout)
}

// An offender that was in the middle of much gets its Close all the same, and the
// acknowledgement of the other's Close is not its own.
func TestOffenderIsToldAfterMuchWaste(t *testing.T) {
	st := newStage(t, func(c *Config) {
		onlyClients(c)
		c.MaxFrameSize = 1 << 10
	})
	c, u := st.session(false)
	big := wire.Encode(true, wire.Binary(strings.Repeat("b", 20<<20)))
	for at := 0; at < len(big); at += 64 << 10 {
		c.sendsBytes(big[at:min(at+64<<10, len(big))])
	}
	u.wants("the other side is told first", wire.Close(1001, "client frame too big"))
	u.sends(wire.Close(1001, ""))
	c.wants("it was only reading its own frame", wire.Close(1009, "frame too big"))
	c.hangsUp()
	u.hangsUp()
	st.dropped(client, metrics.TooBig)
}

// While the answer cannot be read CLOSE_TIMEOUT stands still. It does not begin anew.
func TestCloseTimeoutOfAFlood(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	c.sends(wire.Close(1000, ""))
	u.wants("the Close", wire.Close(1000, ""))
	for range 9 {
		stuff(st, u, c) // the upstream is not read
		st.pass(time.Second)
		c.read() // and is read again
		st.pass(time.Second)
	}
	if st.l.session(c) == nil {
		t.Fatal("half of the time the upstream could not be heard")
	}
	st.pass(time.Second)
	c.read()
	u.hangsUp()
	c.hangsUp()
	st.dropped(upstream, metrics.CloseTimeout)
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
