package proxy

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/metrics"
)

// stuff fills the way to a peer that does not read, until the loop has a tail
// for it, and returns the frames that were sent.
func stuff(st *stage, from *peer, to *peer) (sent []wire.Frame) {
	st.t.Helper()
	frame := wire.Binary(strings.Repeat("z", 50_000))
	for range 100 {
		if st.l.session(to).legs[to.side].tail != nil {
			return sent
		}
		from.sends(frame)
		sent = append(sent, frame)
	}
	st.t.Fatal("the way to the peer does not fill")
	return nil
}

// session finds the session of a peer.
func (l *loop) session(p *peer) (found *session) {
	l.table.all(func(s *session) {
		if io := s.legs[p.side].io; io != nil && io.FD() == p.far {
			found = s
		}
	})
	return found
}

func TestSlowReceiverPausesItsSender(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	sent := stuff(st, c, u)
	st.counts(map[string]float64{
		"reads_paused{client}":   1,
		"reads_paused{upstream}": 0,
	})
	if n := fixture.Counted(t, st.metrics.Registry())["buffered_bytes{upstream}"]; n <= 0 || n > 64<<10 {
		t.Errorf("%v bytes are buffered, want some, and no more than one tail", n)
	}
	u.wants("every frame, once it reads", sent...)
	st.counts(map[string]float64{
		"reads_paused{client}":     0,
		"buffered_bytes{upstream}": 0,
	})
	c.sends(wire.Text("on"))
	u.wants("reading went on", wire.Text("on"))
}

func TestReceiverThatNeverReads(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	stuff(st, u, c)
	st.pass(29 * time.Second)
	u.wantsPing("the upstream is pinged; the client's ping cannot be written")
	st.pass(time.Second)
	u.wants("WRITE_TIMEOUT is over", wire.Close(1001, "client write timeout"))
	c.read()
	if !c.ended {
		t.Error("the client that takes nothing is not cut")
	}
	u.hangsUp()
	st.dropped(client, metrics.WriteTimeout)
}

func TestLastBytesCloseAndEndReachASlowReceiver(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	sent := stuff(st, u, c)
	var last []byte
	for _, m := range []wire.Frame{wire.Text("last words"), wire.Close(1000, "done")} {
		last = append(last, wire.Encode(false, m)...)
	}
	unix.Write(u.fd, last)
	u.stopsSending()
	c.wants("everything, in order", append(sent, wire.Text("last words"), wire.Close(1000, "done"))...)
	c.sends(wire.Close(1000, ""))
	u.wants("the answer", wire.Close(1000, ""))
	c.hangsUp()
	u.hangsUp()
	st.closed(upstream)
}

func TestCloseOfAPeerThatDoesNotRead(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	sent := stuff(st, u, c)
	c.sends(wire.Close(1000, ""))
	u.wants("the Close", wire.Close(1000, ""))
	u.sends(wire.Close(1000, "")) // it lies unread behind what the client does not take
	st.pass(29 * time.Second)
	if st.l.session(c) == nil {
		t.Fatal("cut before WRITE_TIMEOUT was over")
	}
	st.pass(time.Second)
	c.read()
	if len(c.got) >= len(sent)*50_000 || !c.ended {
		t.Errorf("the client has %d bytes, ended %v; want it cut before the end", len(c.got), c.ended)
	}
	u.hangsUp()
	st.dropped(client, metrics.WriteTimeout)
}

func TestPausedPeerCannotMissItsPong(t *testing.T) {
	st := newStage(t, func(c *Config) { c.WriteTimeout = time.Hour })
	c, u := st.session(false)
	st.pass(20 * time.Second)
	pong := c.wantsPing("due")
	u.sends(u.wantsPing("due"))
	sent := stuff(st, c, u)
	c.sends(pong) // it lies unread: the client is paused
	st.pass(5 * time.Minute)
	if st.l.session(c) == nil {
		t.Fatal("the session was dropped although its pong was there")
	}
	u.read()
	if got := u.frames(); len(got) < len(sent) {
		t.Fatalf("upstream got %d frames, want %d", len(got), len(sent))
	}
	st.pass(15 * time.Second)
	if st.l.session(c) == nil {
		t.Fatal("the session was dropped although its pong has been read")
	}
}

func TestStoppedProcessDropsNoHealthySession(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	st.pass(20 * time.Second)
	cpong, upong := c.wantsPing("due"), u.wantsPing("due")
	// The process stands still; meanwhile the pongs arrive.
	unix.Write(c.fd, wire.Encode(true, cpong))
	unix.Write(u.fd, wire.Encode(false, upong))
	st.now = st.now.Add(10 * time.Minute)
	st.run()
	c.wantsPing("the next one, and no Close")
	u.wantsPing("the next one, and no Close")
}

// Timers wait until as many events were handled as there are descriptors. Those before a
// stop do not count: the bytes that have come meanwhile are unread.
func TestStopBeginsTheCountOfEventsAnew(t *testing.T) {
	st := newStage(t, nil)
	st.session(false)
	st.l.unseen = 1 // of two descriptors
	st.now = st.now.Add(10 * time.Minute)
	st.l.tick()
	if st.l.unseen != 0 {
		t.Errorf("%d events count, want none", st.l.unseen)
	}
}

// Both peers are inside a frame when the process stops. The rest of the client's frame
// lies unread then, and none of it is a frame's header yet when the first part is read.
func TestStoppedProcessInsideFrames(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	whole := wire.Encode(true, wire.Binary(strings.Repeat("x", 1000)))
	c.sendsBytes(whole[:500])
	u.sendsBytes(wire.Encode(false, wire.Binary("half"))[:4])
	st.pass(21 * time.Second) // pings are due, and cannot be sent
	unix.Write(c.fd, whole[500:999])
	st.now = st.now.Add(10 * time.Minute)
	s := st.l.session(c)
	st.l.absence.note(st.now-heartbeat.Time(10*time.Minute), st.now, st.now-heartbeat.Time(9*time.Minute))
	st.l.now = st.now
	st.l.excuse(s, client) // a record of TLS that is not whole brings no data
	st.l.turn(st.now, nil)
	if st.l.session(c) == nil {
		t.Fatal("the session was dropped although the client's bytes were there")
	}
}

func TestForwardingAllocatesNothing(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	frame := wire.Encode(true, wire.Text(strings.Repeat("x", 64)))
	buf := make([]byte, 4096)
	allocs := testing.AllocsPerRun(1000, func() {
		unix.Write(c.fd, frame)
		events, _ := st.l.epoll.Poll()
		st.l.turn(st.now, events)
		unix.Read(u.fd, buf)
	})
	if allocs != 0 {
		t.Errorf("forwarding a frame allocates %v times", allocs)
	}
}

func TestHeartbeatAllocatesNothing(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	buf := make([]byte, 4096)
	answer := make([]byte, 0, 64)
	answered := 0
	round := func() {
		st.now = st.now.Add(20 * time.Second)
		events, _ := st.l.epoll.Poll()
		st.l.turn(st.now, events)
		_, _ = unix.Read(u.fd, buf)
		if n, _ := unix.Read(c.fd, buf); n != 10 {
			return
		}
		answered++
		answer = append(answer[:0], 0x8a, 0x88, 0, 0, 0, 0)
		answer = append(answer, buf[2:10]...)
		unix.Write(c.fd, answer)
		events, _ = st.l.epoll.Poll()
		st.l.turn(st.now, events)
	}
	round() // the histograms' buckets are made once
	allocs := testing.AllocsPerRun(200, round)
	if allocs != 0 || answered < 200 {
		t.Errorf("%d pings were answered, and a heartbeat allocates %v times; want one each round, and no allocation", answered, allocs)
	}
}
