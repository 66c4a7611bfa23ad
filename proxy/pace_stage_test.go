package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/metrics"
	"holdfast/proxy/internal/socket"
)

// slowly is a configuration whose clients have a pace, and in which control frames pass.
func slowly(pace Pace) func(*Config) {
	return func(c *Config) {
		c.ClientPace = pace
		c.PeerPings = ForwardPings
		c.Client.Interval, c.UpstreamSide.Interval = 0, 0
	}
}

// times returns n frames, one after the other.
func times(n int, frames ...wire.Frame) []wire.Frame { return slices.Repeat(frames, n) }

// counted is the value of a counter or gauge, named as fixture.Counted names it.
func (st *stage) counted(name string) float64 {
	st.t.Helper()
	return fixture.Counted(st.t, st.metrics.Registry())[name]
}

// framesRead is how many frames of the client have been read.
func (st *stage) framesRead() (n float64) {
	for name, value := range fixture.Counted(st.t, st.metrics.Registry()) {
		if strings.HasPrefix(name, "frames_total{") && strings.Contains(name, "client") {
			n += value
		}
	}
	return n
}

// A client is never ahead of its pace by more than one second's worth, and it is not behind
// its pace. All that it sends arrives in order.
func TestClientKeepsItsPace(t *testing.T) {
	small, large := wire.Text("x"), wire.Binary(strings.Repeat("b", 20_000))
	ping, pong := wire.Ping("own"), wire.Pong("")
	mixture := []wire.Frame{small, ping, large, pong, wire.Text("part").More(), ping, wire.Continuation(strings.Repeat("c", 3000))}
	for _, test := range []struct {
		name string
		pace Pace
		sent []wire.Frame
	}{
		{"small frames", Pace{Frames: 50}, times(400, small)},
		{"the smallest frames", Pace{Frames: 50}, times(400, wire.Text(""))},
		{"control frames", Pace{Frames: 50}, times(200, ping, pong)},
		{"the longest control frames", Pace{Frames: 20}, times(100, wire.Ping(strings.Repeat("p", 125)))},
		{"large frames, counted", Pace{Frames: 2}, times(9, large)},
		{"large frames, weighed", Pace{Bytes: 30_000}, times(9, large)},
		{"small frames, weighed", Pace{Bytes: 500}, times(500, small)},
		{"a mixture, counted", Pace{Frames: 20}, times(20, mixture...)},
		{"a mixture, weighed", Pace{Bytes: 40_000}, times(15, mixture...)},
		{"a mixture, counted and weighed", Pace{Frames: 20, Bytes: 60_000}, times(20, mixture...)},
		{"the slowest", Pace{Frames: 1}, times(8, small)},
		{"slow and not whole", Pace{Frames: 1.5}, times(8, small)},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, slowly(test.pace))
			c, u := st.session(false)
			began := st.now
			sent := wire.Encode(true, test.sent...)
			c.pushes(sent)
			st.run()
			for st.l.session(c).legs[client].received < uint64(len(sent)) {
				st.pass(100 * time.Millisecond)
				u.read()
				wantsPace(t, st, c, test.pace, began, len(test.sent))
			}
			u.wantsBytes("all of it, in order", sent)
			if st.counted("reads_throttled_total{client}") == 0 || st.counted("reads_throttled_total{upstream}") != 0 {
				t.Error("the pauses of the client are not counted, or those of the upstream are")
			}
			for _, more := range []string{"on", "and on"} {
				c.sends(wire.Text(more))
				st.pass(5 * time.Second)
				u.wants("it goes on", wire.Text(more))
			}
		})
	}
}

// wantsPace checks how much of a client has been read since began.
func wantsPace(t *testing.T, st *stage, c *peer, pace Pace, began heartbeat.Time, all int) {
	t.Helper()
	const late = 100 * time.Millisecond // a pause is at least half as long, and a timer may be late
	elapsed := st.now.Sub(began)
	most := func(rate float64) float64 { return rate*(1+elapsed.Seconds()) + 1 }
	least := func(rate float64) float64 { return rate*(1+(elapsed-late).Seconds()) - 1 }
	frames, bytes := st.framesRead(), float64(st.l.session(c).legs[client].received)
	if pace.Frames > 0 && frames > most(pace.Frames) || pace.Bytes > 0 && bytes > most(pace.Bytes) {
		t.Fatalf("%v frames and %v bytes were read in %v", frames, bytes, elapsed)
	}
	if frames >= float64(all) {
		return
	}
	if (pace.Frames == 0 || frames < least(pace.Frames)) && (pace.Bytes == 0 || bytes < least(pace.Bytes)) {
		t.Fatalf("only %v frames and %v bytes were read in %v", frames, bytes, elapsed)
	}
}

// overfull reads more than it is asked to, as TLS does when the end of a record comes.
type overfull struct{ transport }

func (o overfull) Read(b []byte, _ int) (int, error) { return o.transport.Read(b, 16<<10) }

// A read that brings more than there are tokens for is paid for by the reads after it.
func TestClientPaysForMoreThanItsPace(t *testing.T) {
	st := newStage(t, slowly(Pace{Frames: 100}))
	c, u := st.session(false)
	leg := &st.l.session(c).legs[client]
	bare := leg.io
	leg.io = overfull{bare}
	c.sends(times(600, wire.Text("x"))...)
	if n := st.framesRead(); n != 600 {
		t.Fatalf("%v frames were read, want all of the record", n)
	}
	leg.io = bare
	c.pushes(wire.Encode(true, times(50, wire.Text("y"))...))
	st.pass(4900 * time.Millisecond)
	if n := st.framesRead(); n > 601 {
		t.Errorf("%v frames were read before the 600 were paid for", n)
	}
	st.pass(700 * time.Millisecond)
	u.wants("all of them", append(times(600, wire.Text("x")), times(50, wire.Text("y"))...)...)
}

// A pause costs one timer, and a client that is within its pace costs none.
func TestPauseCostsOneTimer(t *testing.T) {
	st := newStage(t, slowly(Pace{Frames: 50}))
	c, u := st.session(false)
	for range 20 {
		c.sends(times(5, wire.Text("x"))...)
		st.pass(100*time.Millisecond - wheelLag)
	}
	st.counts(map[string]float64{"reads_throttled_total{client}": 0})
	if st.l.alarms != 0 {
		t.Errorf("%d timers went off for a client within its pace", st.l.alarms)
	}
	c.pushes(wire.Encode(true, times(1000, wire.Text("x"))...))
	st.run()
	st.passes(10, u)
	pauses := st.counted("reads_throttled_total{client}")
	if n := float64(st.l.alarms); n < pauses-1 || n > pauses+1 {
		t.Errorf("%v timers went off for %v pauses", n, pauses)
	}
	if pauses < 10 || pauses > 200 {
		t.Errorf("%v pauses in 10 s, want at most one in 50 ms, and at least one in a second", pauses)
	}
}

// pausedFlood opens a session whose client has sent so many frames at once that they take
// minutes at its pace. behind are the last of them.
func pausedFlood(t *testing.T, change func(*Config), behind ...wire.Frame) (st *stage, c, u *peer) {
	t.Helper()
	st = newStage(t, func(cfg *Config) {
		onlyClients(cfg)
		cfg.ClientPace = Pace{Frames: 50}
		if change != nil {
			change(cfg)
		}
	})
	c, u = st.session(false)
	c.pushes(wire.Encode(true, append(times(8000, wire.Text("flood")), behind...)...))
	st.run()
	if !st.l.slowed(st.l.session(c), client) {
		t.Fatal("the client is not slowed")
	}
	return st, c, u
}

// passes lets seconds pass in which a peer takes what comes, and checks that its session
// lives.
func (st *stage) passes(seconds int, to *peer) {
	st.t.Helper()
	for i := range seconds {
		st.pass(time.Second - wheelLag)
		to.read()
		if st.l.session(to) == nil {
			st.t.Fatalf("the session has ended after %d s", i+1)
		}
	}
}

func TestUpstreamGoesOnInAPause(t *testing.T) {
	st, c, u := pausedFlood(t, nil)
	read := st.framesRead()
	u.sends(wire.Text("a"), wire.Ping("p"))
	c.wants("the pause is the client's alone", wire.Text("a"))
	u.read()
	if got := u.frames(); got[len(got)-1] != wire.Pong("p") {
		t.Errorf("the upstream's last frame is %v, want its pong", got[len(got)-1])
	}
	if st.framesRead() != read {
		t.Error("the client was read meanwhile")
	}
}

// Only a pong counts as a sign of life here, and it lies behind what is not read.
func TestPongBehindAPause(t *testing.T) {
	st := newStage(t, func(c *Config) { onlyClients(c); c.ClientPace = Pace{Frames: 50} })
	c, u := st.session(false)
	st.pass(20 * time.Second)
	answer := c.wantsPing("due")
	c.pushes(wire.Encode(true, append(times(8000, wire.Text("flood")), answer)...))
	st.run()
	st.passes(165, u)
	c.wantsPing("the pong has been read")
	st.counts(map[string]float64{"pongs_received_total{client}": 1})
}

// A client that is dead has nothing unread, and no pause excuses it.
func TestDeadClientIsFoundBehindPauses(t *testing.T) {
	for _, liveness := range []heartbeat.Liveness{heartbeat.OnlyPong, heartbeat.AnyByte} {
		st := newStage(t, func(c *Config) {
			onlyClients(c)
			c.Client.Liveness = liveness
			c.ClientPace = Pace{Frames: 50}
		})
		c, u := st.session(false)
		st.pass(19 * time.Second)
		c.sends(times(70, wire.Text("its last"))...)
		st.pass(1100 * time.Millisecond)
		u.read()
		c.wantsPing("due, and it is dead")
		st.pass(21 * time.Second)
		u.read()
		if got := u.wholeFrames(); got[len(got)-1] != wire.Close(1001, "client keepalive ping timeout") {
			t.Errorf("the upstream's last frame is %v, want a Close", got[len(got)-1])
		}
		u.hangsUp()
		st.dropped(client, metrics.PingTimeout)
		if st.counted("reads_throttled_total{client}") == 0 {
			t.Error("there was no pause")
		}
	}
}

func TestWriteTimeoutRunsInPauses(t *testing.T) {
	st, c, u := pausedFlood(t, nil)
	stuff(st, u, c)
	began := st.now
	for st.l.session(c) != nil && st.now.Sub(began) < time.Minute {
		st.pass(time.Second)
		u.read()
	}
	if took := st.now.Sub(began); took < 29*time.Second || took > 32*time.Second {
		t.Errorf("the client takes nothing, and is dropped after %v", took)
	}
	u.hangsUp()
	st.dropped(client, metrics.WriteTimeout)
}

func TestCloseTimeoutRunsInPauses(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		st, c, u := pausedFlood(t, nil)
		u.sends(wire.Close(1000, "done"))
		c.wants("the Close", wire.Close(1000, "done"))
		before := st.framesRead()
		st.passes(9, u)
		if n := st.framesRead() - before; n > 500 {
			t.Errorf("%v frames were read meanwhile, want its pace", n)
		}
		st.pass(time.Second)
		u.hangsUp()
		c.hangsUp()
		st.dropped(client, metrics.CloseTimeout)
	})
	t.Run("an answer that one read reaches", func(t *testing.T) {
		st := newStage(t, func(c *Config) { onlyClients(c); c.ClientPace = Pace{Frames: 50} })
		c, u := st.session(false)
		u.sends(wire.Close(1000, "done"))
		c.wants("the Close", wire.Close(1000, "done"))
		c.pushes(wire.Encode(true, append(times(2000, wire.Text("flood")), wire.Close(1000, ""))...))
		st.run()
		st.passes(9, u)
		st.pass(time.Second)
		u.read()
		if st.l.session(c) == nil {
			t.Error("the client has answered, and is cut")
		}
		u.hangsUp()
		c.hangsUp()
		st.closed(upstream)
	})
}

// lain is a socket whose unread bytes came long ago.
type lain struct{ transport }

func (lain) LastACKs() socket.ACKs { return socket.ACKs{Data: time.Minute} }

// The loop waits while the client is slowed. That is not an absence: the client's bytes lie
// unread because of its pace.
func TestPausesDoNotPutOffTheEndOfAClose(t *testing.T) {
	paced := func(t *testing.T) (st *stage, c, u *peer) {
		st = newStage(t, func(c *Config) {
			onlyClients(c)
			c.ClientPace = Pace{Bytes: 1000}
			c.CloseTimeout = 4 * time.Second // a pause is longer than what counts as an absence
		})
		c, u = st.session(false)
		leg := &st.l.session(c).legs[client]
		leg.io = lain{leg.io}
		c.pushes(wire.Encode(true, wire.Binary(strings.Repeat("x", 100_000)))) // it takes longer than the close may
		st.run()
		return st, c, u
	}
	t.Run("a drain", func(t *testing.T) {
		st, c, u := paced(t)
		st.l.drain(0)
		st.run()
		c.wants("told", wire.Close(1012, "proxy is shutting down"))
		st.passes(3, u)
		st.pass(time.Second)
		if st.l.session(c) != nil {
			t.Error("the client has not answered its Close in time, and lives")
		}
		st.dropped(proxy, metrics.Drain)
	})
	t.Run("a drain after which the process is stopped", func(t *testing.T) {
		st, c, u := paced(t)
		st.l.drain(0)
		st.run()
		c.wants("told", wire.Close(1012, "proxy is shutting down"))
		st.passes(3, u)
		st.now = st.now.Add(time.Minute)
		st.run()
		if st.l.session(c) == nil {
			t.Error("the client may have answered meanwhile, and is cut")
		}
	})
}

// full is a socket that takes nothing, although the poller says that it does.
type full struct{ transport }

func (full) Write([]byte) (int, error) { return 0, errAgain }

// A pong of ours to the upstream may begin a tail while the client is slowed. Then the client
// is not read before both pauses are over.
func TestTailBeginsInAPauseForAPace(t *testing.T) {
	st := newStage(t, func(c *Config) {
		onlyClients(c)
		c.ClientPace = Pace{Frames: 50}
		c.Client.Timeout = time.Hour
	})
	c, u := st.session(false)
	st.pass(20 * time.Second)
	c.wantsPing("due; its answer is owed from now on")
	c.pushes(wire.Encode(true, times(100, wire.Text("x"))...))
	st.run()
	leg := &st.l.session(c).legs[upstream]
	bare := leg.io
	pings := func(text string, after time.Duration) {
		leg.io = full{bare}
		if _, err := unix.Write(u.fd, wire.Encode(false, wire.Ping(text))); err != nil {
			t.Fatal(err)
		}
		for range 10 { // not until nothing is ready: the poller says that there is room
			st.l.poll()
			st.l.turn(st.l.now, st.l.ready)
			st.wantsOrder()
			st.now = st.now.Add(after / 10)
		}
		st.counts(map[string]float64{"reads_paused{client}": 1, "frames_total{text,client}": 50})
		leg.io = bare
		st.run()
	}
	pings("p", 0)
	st.counts(map[string]float64{"reads_paused{client}": 0, "frames_total{text,client}": 50})
	pings("q", 2*time.Second)
	u.wants("all of it", slices.Concat(times(50, wire.Text("x")), []wire.Frame{wire.Pong("p"), wire.Pong("q")}, times(50, wire.Text("x")))...)
}

// Inside a frame in both directions no peer can be pinged, and data must move in time. In a
// pause the client's data cannot.
func TestPauseInsideFrames(t *testing.T) {
	st := newStage(t, func(c *Config) {
		onlyClients(c)
		c.Client.Interval, c.Client.Timeout = time.Second, time.Second/2
		c.ClientPace = Pace{Bytes: 1}
	})
	c, u := st.session(false)
	u.sendsBytes(wire.Encode(false, wire.Binary("half"))[:4])
	c.pushes(wire.Encode(true, wire.Binary(strings.Repeat("x", 100))))
	st.run()
	st.passes(60, u)
}

// Once nothing of the client is passed on, there is nothing to protect from it.
func TestPauseEndsWithTheSession(t *testing.T) {
	bye := wire.Close(1000, "")
	t.Run("drain", func(t *testing.T) {
		st, c, u := pausedFlood(t, nil, bye)
		st.l.drain(0)
		st.run()
		c.wants("told", wire.Close(1012, "proxy is shutting down"))
		u.read()
		u.hangsUp()
		c.hangsUp()
		st.dropped(proxy, metrics.Drain)
		if st.now != heartbeat.Time(time.Hour) {
			t.Error("the drain waited for the pause")
		}
	})
	t.Run("the upstream is gone", func(t *testing.T) {
		st, c, u := pausedFlood(t, nil, bye)
		u.hangsUp()
		c.wants("told", wire.Close(1012, "upstream connection lost"))
		c.hangsUp()
		st.dropped(upstream, metrics.EOF)
	})
	t.Run("the client is gone", func(t *testing.T) {
		st := newStage(t, slowly(Pace{Frames: 50}))
		c, u := st.session(false)
		c.sends(times(50, wire.Text("x"))...)
		c.hangsUp()
		st.pass(time.Second)
		u.wants("its frames, and its end", append(times(50, wire.Text("x")), wire.Close(1001, "client connection lost"))...)
		u.hangsUp()
		st.dropped(client, metrics.EOF)
	})
	t.Run("the client says goodbye", func(t *testing.T) {
		st := newStage(t, slowly(Pace{Frames: 50}))
		c, u := st.session(false)
		sent := append(times(60, wire.Text("x")), bye)
		c.pushes(wire.Encode(true, sent...))
		st.run()
		st.pass(time.Second)
		u.wants("all of it", sent...)
		u.sends(bye)
		c.wants("the answer", bye)
		u.hangsUp()
		c.hangsUp()
		st.closed(client)
	})
}

// A pause for the upstream's tail and a pause for the pace may come together.
func TestPauseForAPaceAndForATail(t *testing.T) {
	st := newStage(t, func(c *Config) {
		onlyClients(c)
		c.ClientPace = Pace{Bytes: 100_000}
		c.Client.Timeout, c.WriteTimeout = time.Hour, time.Hour
	})
	c, u := st.session(false)
	st.pass(20 * time.Second)
	c.wantsPing("due; its answer is owed from now on")
	sent := wire.Encode(true, times(30, wire.Binary(strings.Repeat("z", 20_000)))...)
	c.pushes(sent)
	for range 200 {
		st.pass(100 * time.Millisecond)
		u.readsOnly(5000)
	}
	for st.l.session(c).legs[client].received < uint64(len(sent)) {
		st.pass(100 * time.Millisecond)
		u.read()
	}
	u.wantsBytes("all of it, in order", sent)
	st.counts(map[string]float64{"reads_paused{client}": 0})
}

func TestPaceAllocatesNothing(t *testing.T) {
	for name, pace := range map[string]Pace{"within": {Frames: 1e6, Bytes: 1e9}, "over it": {Frames: 1}} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, slowly(pace))
			c, u := st.session(false)
			frame := wire.Encode(true, wire.Text("x"))
			buf := make([]byte, 4096)
			allocs := testing.AllocsPerRun(1000, func() {
				_, _ = unix.Write(c.fd, frame)
				st.now = st.now.Add(time.Second)
				events, _ := st.l.epoll.Poll()
				st.l.turn(st.now, events)
				_, _ = unix.Read(u.fd, buf)
			})
			if allocs != 0 {
				t.Errorf("forwarding a frame allocates %v times", allocs)
			}
		})
	}
}

func TestNoPaceCostsNothing(t *testing.T) {
	st := newStage(t, nil)
	st.session(false)
	if st.l.extras != nil {
		t.Error("a loop keeps extras that nobody has asked for")
	}
}
