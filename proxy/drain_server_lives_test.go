package proxy

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/wire"
)

// These tests drain a whole server over the invented kernel. What waits beside the loop and
// the loop itself go by the time of a synctest bubble.

// bubbleStep is how much time passes between two looks at the loop.
const bubbleStep = 100 * time.Millisecond

// inBubble plays a test in a world that goes by the time of a bubble.
func inBubble(t *testing.T, change func(*Config), play func(*drainWorld)) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := &drainWorld{inventedWorld: &inventedWorld{t: t, kernel: newInvented()}, began: began}
		w.begins(change, inventedTime(func() heartbeat.Time { return heartbeat.Time(time.Hour).Add(time.Since(began)) }))
		defer w.server.end()
		play(w)
	})
}

type drainWorld struct {
	*inventedWorld
	began time.Time
}

// settles lets everything happen that can happen now.
func (w *drainWorld) settles() {
	w.t.Helper()
	for range 10 { // more than the jobs of a stop; each follows from the one before
		synctest.Wait()
		w.run()
		if err := w.server.auditKept(); err != nil {
			w.t.Error(err)
		}
	}
}

// until lets time pass until so long after the beginning.
func (w *drainWorld) until(at time.Duration) {
	w.t.Helper()
	for w.settles(); time.Since(w.began) < at; w.settles() {
		time.Sleep(min(bubbleStep, at-time.Since(w.began)))
	}
}

// living are sessions with both their peers.
func (w *drainWorld) living(n int) (all []livingPair) {
	for range n {
		c, u := w.opens()
		all = append(all, livingPair{c, u})
	}
	return all
}

type livingPair struct{ c, u *farPeer }

// tellTimes lets time pass, answers each Close, and returns when each session was told, in
// order. It stops at the time end.
func (w *drainWorld) tellTimes(sessions []livingPair, end time.Duration, why string) (told []time.Duration) {
	w.t.Helper()
	sessions = slices.Clone(sessions)
	for at := time.Since(w.began); at <= end; at += bubbleStep {
		w.until(at)
		sessions = slices.DeleteFunc(sessions, func(p livingPair) bool {
			frames := p.c.frames()
			if !slices.Contains(frames, wire.Close(1012, why)) {
				return false
			}
			told = append(told, at)
			p.c.sends(wire.Close(1012, ""))
			p.u.sends(wire.Close(1001, ""))
			p.c.hangsUp()
			p.u.hangsUp()
			return true
		})
	}
	return told
}

// isOver reports whether the drain has ended.
func (w *drainWorld) isOver() bool {
	w.settles()
	select {
	case <-w.server.Drained():
		return true
	default:
		return false
	}
}

// stops calls Shutdown beside the test. The channel has how many sessions were cut.
func (w *drainWorld) stops(ctx context.Context, how Stop) <-chan int {
	cut := make(chan int, 1)
	go func() {
		n, err := w.server.Shutdown(ctx, how)
		if err != nil {
			w.t.Error(err)
		}
		cut <- n
	}()
	w.settles()
	return cut
}

// wantsStopped waits for a Shutdown that needs no more time, and for its count.
func (w *drainWorld) wantsStopped(cut <-chan int, want int) {
	w.t.Helper()
	w.settles()
	select {
	case n := <-cut:
		if n != want {
			w.t.Errorf("%d sessions were cut, want %d", n, want)
		}
	default:
		w.t.Errorf("after %v the stop is not over", time.Since(w.began))
	}
}

const (
	stopped = "proxy is shutting down"
	request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
)

var (
	slowStop = Stop{Delay: 5 * time.Second, Spread: 20 * time.Second, Timeout: 30 * time.Second}
	fastStop = AtOnce(10 * time.Second)
)

// A drain without a stop: clients are served during the delay, and refused afterwards, for
// as long as the process lives.
func TestDrainKeepsTheListener(t *testing.T) {
	inBubble(t, nil, func(w *drainWorld) {
		sessions := w.living(10)
		if left := w.server.DrainLeft(); w.server.Draining() || left != 0 {
			t.Errorf("before the drain it drains, for %v", left)
		}
		w.server.Drain(slowStop)
		w.until(4 * time.Second)
		if left := w.server.DrainLeft(); !w.server.Draining() || left != 51*time.Second {
			t.Errorf("after 4 s it drains: %v, and %v are left", w.server.Draining(), left)
		}
		sessions = append(sessions, w.living(1)...)
		early := w.dials() // and asks too late
		if !w.server.Accepts() {
			t.Error("during the delay it does not accept clients")
		}

		w.until(6 * time.Second)
		if w.server.Accepts() {
			t.Error("after the delay it accepts clients")
		}
		late := w.dials()
		for _, client := range []*farPeer{early, late} {
			if got := client.told(); got != "" {
				t.Errorf("a client that has not asked yet is told %q", got)
			}
			client.sendsString(request)
			if got := client.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "\r\nRetry-After: 5\r\n") {
				t.Errorf("a client that comes late is told %q", got)
			}
			client.hangsUp()
		}
		told := w.tellTimes(sessions, 25*time.Second, stopped)
		if len(told) != 11 || told[0] < 5*time.Second {
			t.Errorf("the sessions are told at %v, want all 11 between 5 s and 25 s", told)
		}
		if !w.isOver() || w.server.DrainLeft() != 0 {
			t.Errorf("the drain is not over, and %v are left", w.server.DrainLeft())
		}

		later := w.dials()
		later.sendsString(wire.Request())
		if got := later.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
			t.Errorf("a client behind the drain is told %q", got)
		}
		cut := w.stops(context.Background(), slowStop)
		if len(cut) > 0 {
			t.Error("the client that is being told its refusal is not waited for")
		}
		later.hangsUp()
		w.wantsStopped(cut, 0)
		w.over("sessions_dropped_total{drain,proxy}", 11)
	})
}

// Without sessions a drain takes its delay.
func TestDrainOfNothing(t *testing.T) {
	inBubble(t, nil, func(w *drainWorld) {
		idle := w.dials() // it does not ask, and is not waited for
		w.server.Drain(slowStop)
		if w.until(5*time.Second - time.Millisecond); w.isOver() {
			t.Error("the drain is over before its delay")
		}
		if w.until(5 * time.Second); !w.isOver() {
			t.Error("the drain is not over after its delay")
		}
		cut := w.stops(context.Background(), slowStop)
		idle.hangsUp()
		w.wantsStopped(cut, 0)
	})
}

// A second drain changes nothing.
func TestSecondDrain(t *testing.T) {
	inBubble(t, nil, func(w *drainWorld) {
		sessions := w.living(1)
		w.server.Drain(slowStop)
		w.until(2 * time.Second)
		w.server.Drain(Stop{})
		if left := w.server.DrainLeft(); left != 53*time.Second {
			t.Errorf("%v are left, want 53 s", left)
		}
		if told := w.tellTimes(sessions, 4*time.Second, stopped); len(told) > 0 {
			t.Errorf("the session is told at %v, in the delay", told)
		}
		cut := w.stops(context.Background(), fastStop)
		if told := w.tellTimes(sessions, 5*time.Second, stopped); len(told) != 1 {
			t.Error("the session is not told")
		}
		w.wantsStopped(cut, 0)
	})
}

// A stop goes on from the drain that is under way. It brings steps forward and puts none
// off.
func TestStopGoesOnFromADrain(t *testing.T) {
	const sessions = 20
	plays := func(how Stop, at time.Duration) (told []time.Duration) {
		inBubble(t, nil, func(w *drainWorld) {
			living := w.living(sessions)
			w.server.Drain(slowStop)
			told = w.tellTimes(living, at, stopped)
			left := slices.DeleteFunc(living, func(p livingPair) bool { return p.c.socket.closed })
			cut := w.stops(context.Background(), how)
			told = append(told, w.tellTimes(left, 30*time.Second, stopped)...)
			w.wantsStopped(cut, 0)
		})
		return told
	}
	drawn := plays(slowStop, 26*time.Second)
	if len(drawn) != sessions || drawn[0] < 5*time.Second || drawn[sessions-1] > 25*time.Second {
		t.Fatalf("a drain tells at %v", drawn)
	}
	for _, tc := range []struct {
		name string
		how  Stop
		at   time.Duration
		want func(i int) time.Duration
	}{
		{"SIGTERM in the delay", slowStop, 3 * time.Second, func(i int) time.Duration { return drawn[i] }},
		{"SIGTERM in the spread", slowStop, 10 * time.Second, func(i int) time.Duration { return drawn[i] }},
		{"SIGINT in the delay", fastStop, 3 * time.Second, func(int) time.Duration { return 3 * time.Second }},
		{"SIGINT in the spread", fastStop, 10 * time.Second, func(i int) time.Duration { return min(drawn[i], 10*time.Second) }},
	} {
		told := plays(tc.how, tc.at)
		if len(told) != sessions {
			t.Errorf("%s: %d of %d sessions are told", tc.name, len(told), sessions)
			continue
		}
		for i, at := range told {
			if want := tc.want(i); at < want-bubbleStep || at > want+bubbleStep {
				t.Errorf("%s: session %d is told at %v, want %v", tc.name, i, at, want)
			}
		}
	}
}

// A stop with a shorter spread than what is left of the drain's tells the rest within its
// own.
func TestStopShortensTheSpread(t *testing.T) {
	inBubble(t, nil, func(w *drainWorld) {
		living := w.living(20)
		w.server.Drain(Stop{Spread: time.Hour, Timeout: time.Hour})
		cut := w.stops(context.Background(), Stop{Spread: 10 * time.Second, Timeout: time.Minute})
		told := w.tellTimes(living, 11*time.Second, stopped)
		if len(told) != 20 || told[9] < 3*time.Second || told[9] > 7*time.Second {
			t.Errorf("the sessions are told at %v, want them over 10 s", told)
		}
		w.wantsStopped(cut, 0)
	})
}

// What a drain has cut is counted when the server stops, however late that is. A stop goes
// on with the drain's timeout.
func TestDrainCuts(t *testing.T) {
	for _, tc := range []struct {
		name  string
		at    time.Duration // when the stop comes
		until time.Duration // when all is over
	}{
		{"before the stop", time.Minute, time.Minute},
		{"after the stop", 2 * time.Second, 4 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var details []string
			inBubble(t, func(c *Config) { c.Ended = func(e *Ended) { details = append(details, e.Detail) } }, func(w *drainWorld) {
				w.living(2) // that never answer
				w.server.Drain(Stop{Delay: time.Second, Timeout: 3 * time.Second})
				w.until(tc.at)
				cut := w.stops(context.Background(), slowStop)
				w.until(tc.until)
				w.wantsStopped(cut, 2)
			})
			if want := []string{cutShort, cutShort}; !slices.Equal(details, want) {
				t.Errorf("the details of the ends are %q, want %q", details, want)
			}
		})
	}
}

// A peer that only does not answer its Close is not one of those that were cut, even if its
// Close had to wait for a message under way.
func TestStopAtOnceOfPeersThatNeverAnswer(t *testing.T) {
	inBubble(t, nil, func(w *drainWorld) {
		sessions := w.living(2)
		sessions[0].u.sends(wire.Text("the rest does not come").More())
		cut := w.stops(context.Background(), fastStop)
		for at := time.Duration(0); at < fastStop.Longest(); at += bubbleStep {
			w.until(at)
			for _, p := range sessions { // what a peer reads has reached it
				p.c.frames()
				p.u.frames()
			}
		}
		w.wantsStopped(cut, 0)
		w.over("sessions_dropped_total{drain,proxy}", 2)
	})
}

// A second signal cuts what a drain has left, whatever step it is at.
func TestSecondSignalDuringADrain(t *testing.T) {
	for _, at := range []time.Duration{time.Second, 10 * time.Second} {
		inBubble(t, nil, func(w *drainWorld) {
			w.living(1)
			w.server.Drain(Stop{Delay: 5 * time.Second, Spread: time.Hour, Timeout: time.Hour})
			w.until(at)
			ctx, second := context.WithCancel(context.Background())
			cut := w.stops(ctx, Stop{Delay: time.Hour, Spread: time.Hour, Timeout: time.Hour})
			second()
			w.wantsStopped(cut, 1)
		})
	}
}

// drainsTargets calls DrainTargets while the loop turns.
func (w *drainWorld) drainsTargets(spread time.Duration) {
	w.t.Helper()
	found := make(chan bool, 1)
	go func() { found <- w.server.DrainTargets(w.server.Targets()[0].Name(), "", spread) }()
	if w.settles(); !<-found {
		w.t.Error("the target is not found")
	}
}

const drained = "upstream drained by operator"

// While an upstream is drained, its sessions are told over the spread. Those that are not
// told when it is resumed stay, and keep the age at which they end.
func TestUpstreamIsDrainedAndResumed(t *testing.T) {
	inBubble(t, func(c *Config) {
		c.MaxSessionDuration = time.Minute
		c.Client.Interval, c.UpstreamSide.Interval = 0, 0
	}, func(w *drainWorld) {
		living := w.living(20)
		w.drainsTargets(20 * time.Second)
		if status := w.server.Targets()[0]; status.State != TargetDraining || status.Sessions != 20 {
			t.Errorf("the target is %+v", status)
		}
		told := w.tellTimes(living, 10*time.Second, drained)
		if len(told) < 9 || len(told) > 11 {
			t.Errorf("%d of 20 sessions are told in half of the spread", len(told))
		}
		found := make(chan bool, 1)
		go func() { found <- w.server.ResumeTargets(w.server.Targets()[0].Name(), "") }()
		if w.settles(); !<-found || w.server.Targets()[0].State == TargetDraining {
			t.Error("the target is not resumed")
		}
		stay := slices.DeleteFunc(living, func(p livingPair) bool { return p.c.socket.closed })
		if told := w.tellTimes(stay, 50*time.Second, drained); len(told) > 0 {
			t.Errorf("after the resumption sessions are told at %v", told)
		}
		if old := w.tellTimes(stay, 67*time.Second, "maximum session duration reached"); len(old) != len(stay) {
			t.Errorf("%d of %d sessions end at their age", len(old), len(stay))
		}
		if w.server.Draining() {
			t.Error("the whole server drains")
		}
	})
}

// A session whose upstream is taken out of use during its handshake ends as soon as it
// opens. Later clients are told to come again.
func TestSessionOpensOnADrainedUpstream(t *testing.T) {
	inBubble(t, nil, func(w *drainWorld) {
		c := w.dials()
		c.sendsString(wire.Request())
		u := w.accepts()
		asked, err := wire.ParseRequest(u.told())
		if err != nil {
			t.Fatal(err)
		}
		w.drainsTargets(time.Hour)
		late := w.dials()
		late.sendsString(wire.Request())
		if got := late.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "\r\nRetry-After: ") {
			t.Errorf("a client that comes later is told %q", got)
		}
		u.sendsString(wire.Answer(asked))
		u.wants("it is out of use", wire.Close(1001, drained))
	})
}

// A resumption of an upstream does not take back the end of the whole server.
func TestResumptionDuringADrain(t *testing.T) {
	inBubble(t, nil, func(w *drainWorld) {
		living := w.living(10)
		w.drainsTargets(time.Hour)
		w.server.Drain(Stop{Spread: 10 * time.Second, Timeout: time.Minute})
		w.settles()
		go w.server.ResumeTargets(w.server.Targets()[0].Name(), "")
		if told := w.tellTimes(living, 11*time.Second, stopped); len(told) != 10 {
			t.Errorf("%d of 10 sessions are told", len(told))
		}
		if !w.isOver() {
			t.Error("the drain is not over")
		}
	})
}

func TestUnknownTargets(t *testing.T) {
	w := newInventedWorld(t, nil)
	for _, at := range [][2]string{{"127.0.0.1:2", ""}, {"ws://127.0.0.1:1", ""}, {"", ""}, {"127.0.0.1:1", "127.0.0.1:2"}} {
		if w.server.DrainTargets(at[0], at[1], 0) || w.server.ResumeTargets(at[0], at[1]) {
			t.Errorf("there is a target %q", at)
		}
	}
}

// The sessions of one upstream are told over the spread, and those of others stay.
func TestDrainOfSomeSessions(t *testing.T) {
	const sessions, spread, buckets = 400, 20 * time.Second, 10
	w := newInventedWorld(t, nil)
	var theirs, others []*farPeer
	for i := range sessions {
		c, _ := w.opens()
		if i%2 == 0 {
			theirs = append(theirs, c)
		} else {
			others = append(others, c)
		}
	}
	even := func(s *session) bool { return s.id%2 == w.l.table.slots[1].session.id%2 }
	w.l.endWithin(spread, even)
	for bucket := range buckets {
		w.pass(spread / buckets)
		before := len(theirs)
		theirs = slices.DeleteFunc(theirs, func(c *farPeer) bool {
			return slices.Contains(c.frames(), wire.Close(1012, drained))
		})
		if n, want := before-len(theirs), sessions/2/buckets; n < want-2 || n > want+2 {
			t.Errorf("%d sessions are told in the %d. of %d parts of the spread, want %d", n, bucket+1, buckets, want)
		}
	}
	for _, c := range others {
		for _, f := range c.frames() {
			if f.Code() != 0 {
				t.Fatalf("a session of another upstream is told %v", f)
			}
		}
	}
}

// Sessions that open together reach their age at different times.
func TestAgesAreSpread(t *testing.T) {
	var parts [10]int
	for id := uint64(1 << 60); id < 1<<60+100; id++ {
		parts[int(evenly(id)*10)]++
	}
	for i, n := range parts {
		if n < 8 || n > 12 {
			t.Errorf("%d of 100 ids are in the %d. tenth", n, i+1)
		}
	}
}
