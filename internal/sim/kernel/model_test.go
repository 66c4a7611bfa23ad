package kernel

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// A stage is a Machine whose time the test moves.
type stage struct {
	*Machine
	t   *testing.T
	now time.Duration
}

func newStage(t *testing.T) *stage {
	st := &stage{t: t, now: time.Second}
	st.Machine = New(func() time.Duration { return st.now })
	return st
}

// pass lets time pass, from event to event.
func (st *stage) pass(d time.Duration) {
	until := st.now + d
	for at, ok := st.Next(); ok && at <= until; at, ok = st.Next() {
		st.now = max(st.now, at)
		st.Advance()
	}
	st.now = until
}

// pair is a TCP connection whose segments take so long either way.
func (st *stage) pair(latency time.Duration) (ours, theirs *Socket) {
	ours, theirs = st.Pair(TCP)
	ours.Out.Latency, theirs.Out.Latency = latency, latency
	return ours, theirs
}

func (st *stage) writes(s *Socket, text string) {
	st.t.Helper()
	if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
		st.t.Fatalf("%v takes %d bytes, %v, of %q", s, n, err, text)
	}
}

// reads wants these bytes and then this error.
func (st *stage) reads(s *Socket, text string, then error) {
	st.t.Helper()
	var got []byte
	b := make([]byte, 1<<10)
	for {
		n, err := s.Read(b, len(b))
		got = append(got, b[:n]...)
		if err != nil {
			if string(got) != text || err != then {
				st.t.Errorf("%v reads %q, then %v; want %q, then %v", s, got, err, text, then)
			}
			return
		}
	}
}

func (st *stage) polls(p *Poller, want ...proxy.Event) {
	st.t.Helper()
	got, _ := p.Poll()
	if len(got) != len(want) {
		st.t.Errorf("%v are ready, want %v", got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			st.t.Errorf("event %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// The lowest free descriptor is the next, and a closed one is registered nowhere.
func TestDescriptors(t *testing.T) {
	st := newStage(t)
	p := st.NewPoller()
	a, b := st.Pair(Unix)
	c, _ := st.Pair(Unix)
	low, high := a.FD(), c.FD()
	if low != firstFD || b.FD() != firstFD+1 || high != firstFD+2 {
		t.Errorf("the descriptors are %d, %d and %d", low, b.FD(), high)
	}
	must(t, p.Add(high, 1, proxy.Readable))
	must(t, p.Add(low, 2, proxy.Readable))
	must(t, a.Close())
	must(t, c.Close())
	for _, err := range []error{p.Modify(low, 2, 0), p.Remove(low), p.Add(low, 2, 0)} {
		if !errors.Is(err, unix.EBADF) {
			t.Errorf("epoll_ctl of a closed descriptor: %v, want EBADF", err)
		}
	}
	st.polls(p)
	if d, _ := st.Pair(Unix); d.FD() != low || d.Peer().FD() != high {
		t.Errorf("the next descriptors are %d and %d, want %d and %d", d.FD(), d.Peer().FD(), low, high)
	}
	if err := p.Remove(low); !errors.Is(err, unix.ENOENT) {
		t.Errorf("removing what took the place of a registered descriptor: %v, want ENOENT", err)
	}
}

// What stays ready is reported again, behind the others.
func TestRotation(t *testing.T) {
	st := newStage(t)
	p := st.NewPoller()
	p.Batch = 2
	for token := range proxy.Token(3) {
		s, _ := st.Pair(Unix)
		must(t, p.Add(s.FD(), token, proxy.Writable))
	}
	is := func(token proxy.Token) proxy.Event { return proxy.Event{Token: token, Ready: proxy.Writable} }
	st.polls(p, is(0), is(1))
	st.polls(p, is(2), is(0))
	st.polls(p, is(1), is(2))
}

// An end comes behind the data, and a reset in front of what was not sent.
func TestEndsAndResets(t *testing.T) {
	st := newStage(t)
	const latency = 10 * time.Millisecond
	ours, theirs := st.pair(latency)
	st.writes(theirs, "data")
	must(t, theirs.Close())
	st.pass(latency - 1)
	st.reads(ours, "", proxy.ErrAgain)
	st.pass(1)
	st.reads(ours, "data", io.EOF)
	st.writes(ours, "nobody is there")
	st.pass(latency)
	st.writes(ours, "the reset is under way")
	st.pass(latency)
	if ready := ours.Ready(); ready != proxy.Readable|proxy.Writable|proxy.PeerEnded|proxy.Broken {
		t.Errorf("after the reset the socket is %#x", ready)
	}
	if _, err := ours.Write([]byte("x")); err != unix.EPIPE {
		t.Errorf("a write after the end and the reset: %v, want EPIPE", err)
	}

	st.ReceiveBuffer = 4
	ours, theirs = st.pair(latency)
	st.writes(ours, "unread")
	st.writes(theirs, "data that has no room")
	st.pass(latency)
	must(t, theirs.Close())
	st.pass(latency)
	st.reads(ours, "data", unix.ECONNRESET)
	st.reads(ours, "", io.EOF)
}

// The last words of a connection may be lost. Then they are said again, and the end is
// what it would have been.
func TestLostEnds(t *testing.T) {
	st := newStage(t)
	const latency = 10 * time.Millisecond
	ours, theirs := st.pair(latency)
	must(t, ours.CloseWrite())
	st.pass(2 * latency)
	must(t, theirs.CloseWrite())
	ours.Out.Lost = true // the acknowledgement of their end
	st.pass(5 * latency)
	if !ours.dead || theirs.dead {
		t.Error("the acknowledgement of the last end has come, and was lost")
	}
	ours.Out.Lost = false
	st.pass(time.Second)
	if !theirs.dead || theirs.err != 0 {
		t.Errorf("when it has been sent again the error is %v", theirs.err)
	}

	ours, theirs = st.pair(latency)
	ours.Out.Lost = true
	st.writes(ours, "lost")
	ours.Out.Lost = false
	must(t, ours.Reset())
	st.pass(latency)
	st.reads(theirs, "", proxy.ErrAgain) // the reset is ahead of its place in the stream
	st.pass(2 * latency)
	st.reads(theirs, "", unix.ECONNRESET)
}

// What comes behind a loss shows in the acknowledgements until the loss is sent again.
func TestGap(t *testing.T) {
	st := newStage(t)
	ours, theirs := st.pair(time.Millisecond)
	ours.Out.Lost = true
	st.writes(ours, "lost, ")
	ours.Out.Lost = false
	st.writes(ours, "and more")
	st.pass(10 * time.Millisecond)
	if !ours.LastACKs().Gap || ours.Unacked() != len("lost, and more") {
		t.Errorf("behind a loss the kernel says %+v, %d unacknowledged", ours.LastACKs(), ours.Unacked())
	}
	st.pass(time.Second)
	if ours.LastACKs().Gap || ours.Unacked() != 0 {
		t.Errorf("when all is sent again it says %+v, %d unacknowledged", ours.LastACKs(), ours.Unacked())
	}
	st.reads(theirs, "lost, and more", proxy.ErrAgain)
}

// A faster segment does not overtake a slower one.
func TestOrderOfSegments(t *testing.T) {
	st := newStage(t)
	ours, theirs := st.pair(50 * time.Millisecond)
	st.writes(ours, "slow, ")
	ours.Out.Latency = time.Millisecond
	st.writes(ours, "fast")
	st.pass(40 * time.Millisecond)
	st.reads(theirs, "", proxy.ErrAgain)
	st.pass(10 * time.Millisecond)
	st.reads(theirs, "slow, fast", proxy.ErrAgain)
}

// What is left in a closed socket is sent on for some minutes to who is slow, and not
// beyond the limit of TCP's waits.
func TestOrphans(t *testing.T) {
	for _, slow := range []time.Duration{time.Minute, time.Hour} {
		st := newStage(t)
		st.RetryLimit = 2 * time.Second // a close lifts it
		ours, theirs := st.pair(time.Millisecond)
		text := string(bytesFrom(0, st.ReceiveBuffer))
		st.writes(ours, text)
		st.pass(time.Second)
		st.writes(ours, "more")
		must(t, ours.Close())
		st.pass(slow)
		st.reads(theirs, text, proxy.ErrAgain)
		st.pass(time.Second)
		if slow == time.Minute {
			st.reads(theirs, "more", io.EOF)
		} else {
			st.reads(theirs, "", unix.ECONNRESET)
		}

		ours, _ = st.pair(time.Millisecond)
		ours.Out.Lost = true
		must(t, ours.Close())
		st.pass(time.Hour)
		if at, ok := st.Next(); ok {
			t.Errorf("something happens at %v, and nobody is there", at)
		}
	}
}

// A stream comes whole through a network that cuts it anywhere, delays it, loses it for
// a while and stalls.
func TestStreamThroughBadNetwork(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 0))
	for run := range 200 {
		st := newStage(t)
		ours, theirs := st.pair(time.Duration(random.IntN(50)) * time.Millisecond)
		ours.Out.Segment = func() int { return 1 + random.IntN(3000) }
		ours.Out.Rate = random.IntN(2) * 1_000_000
		theirs.SetReceiveBuffer(1 + random.IntN(5000))
		data := bytesFrom(0, 50_000)
		var got []byte
		left, ended := data, error(nil)
		for turns := 0; ended == nil; turns++ {
			if turns == 10_000 {
				t.Fatalf("run %d: %d of %d bytes have come", run, len(got), len(data))
			}
			switch random.IntN(12) {
			case 0:
				ours.Out.Lost = !ours.Out.Lost
			case 1:
				theirs.Out.Lost = !theirs.Out.Lost
			case 2:
				ours.Out.Stalled = st.now + time.Second
			}
			if len(left) > 0 {
				n, _ := ours.Write(left)
				if left = left[n:]; len(left) == 0 {
					must(t, ours.CloseWrite())
				}
			}
			b := make([]byte, 1+random.IntN(4000))
			n, err := theirs.Read(b, len(b))
			got = append(got, b[:n]...)
			if err != nil && err != proxy.ErrAgain {
				ended = err
			}
			st.pass(time.Duration(random.IntN(300)) * time.Millisecond)
		}
		if ended != io.EOF || !bytes.Equal(got, data) {
			t.Fatalf("run %d: %d bytes, then %v", run, len(got), ended)
		}
		ours.Out.Lost, theirs.Out.Lost = false, false
		st.pass(10 * time.Minute)
		if ours.Unacked() != 0 {
			t.Fatalf("run %d: %d bytes are not acknowledged", run, ours.Unacked())
		}
	}
}

// A stream can be cut at any byte.
func TestCuts(t *testing.T) {
	const text = "a stream"
	for at := range len(text) + 1 {
		for _, before := range []bool{true, false} {
			for then, cut := range map[error]func(*Socket, int64){unix.ECONNRESET: (*Socket).ResetAt, io.EOF: (*Socket).EndAt} {
				st := newStage(t)
				ours, theirs := st.pair(0)
				if before {
					cut(theirs, int64(at))
					st.writes(theirs, text)
					st.reads(ours, text[:at], then)
					// The end takes the place of a byte, which counts as acknowledged.
					if lost := theirs.Unacked(); then == io.EOF && (lost > 0) != (at < len(text)-1) {
						t.Errorf("of what is behind the end at %d, %d bytes are not acknowledged", at, lost)
					}
				} else if at > 0 {
					st.writes(theirs, text[:at])
					cut(theirs, 0) // it is past
					st.reads(ours, text[:at], then)
				}
			}
		}
	}
}

// Without a user timeout TCP gives a silent peer up after net.ipv4.tcp_retries2 tries. With
// the limits of net/tcp.h that is after 924.6 seconds, and Linux documents that figure.
func TestTriesAreLimited(t *testing.T) {
	for name, write := range map[string]int{"lost": 1, "behind a full window": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			st.SendBuffer = 1 << 20
			ours, _ := st.pair(0)
			if write > 1 {
				st.writes(ours, string(bytesFrom(0, st.ReceiveBuffer+1)))
				st.pass(time.Hour)
				if err := ours.Connected(); err != nil {
					t.Fatalf("a peer that is full and answers is given up: %v", err)
				}
			}
			ours.Out.Lost = true
			if write == 1 {
				st.writes(ours, "x")
			}
			gone := 924600 * time.Millisecond
			if write > 1 {
				gone = 15 * retryLimit // the wait has grown before
			}
			st.pass(gone - retryLimit - time.Second)
			if err := ours.Connected(); err != nil {
				t.Fatalf("it is given up too early: %v", err)
			}
			st.pass(2*retryLimit + 2*time.Second)
			if err := ours.Connected(); !errors.Is(err, unix.ETIMEDOUT) {
				t.Errorf("in the end the error is %v", err)
			}
		})
	}
}

// A full peer answers probes, a peer that is gone does not, and TCP gives up in the end.
func TestSilence(t *testing.T) {
	st := newStage(t)
	st.UserTimeout = time.Minute
	st.RetryLimit = 2 * time.Second
	ours, theirs := st.pair(time.Millisecond)
	st.pass(time.Millisecond)
	st.writes(ours, string(bytesFrom(0, st.ReceiveBuffer)))
	st.pass(time.Second)
	st.writes(ours, "more than there is room for")
	st.pass(20 * time.Second)
	if acks := ours.LastACKs(); !acks.Full || acks.Last > 3*time.Second || acks.RTT != 2*time.Millisecond {
		t.Errorf("of a peer without room the kernel says %+v", acks)
	}
	ours.Out.Lost = true
	st.pass(20 * time.Second)
	if acks := ours.LastACKs(); acks.Last < 20*time.Second {
		t.Errorf("of a peer that is gone the kernel says %+v", acks)
	}
	st.pass(time.Minute)
	if err := ours.Connected(); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("after TCP_USER_TIMEOUT the error is %v", err)
	}
	must(t, theirs.Close())
	st.pass(time.Hour)
	if at, ok := st.Next(); ok {
		t.Errorf("something happens at %v, and nobody is there", at)
	}
}

// A fault is decided call by call, and readiness stays what it is.
func TestFaults(t *testing.T) {
	st := newStage(t)
	p := st.NewPoller()
	ours, theirs := st.Pair(TCP)
	allowed := 0
	st.Faults.Read = func(_ *Socket, size int) int { return min(allowed, size) }
	st.Faults.Write = st.Faults.Read
	st.Faults.Control = func(int) error { return unix.ENOMEM }
	if err := p.Add(ours.FD(), 1, proxy.Readable); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("epoll_ctl: %v, want ENOMEM", err)
	}
	st.Faults.Control = nil
	must(t, p.Add(ours.FD(), 1, proxy.Readable))
	if _, err := theirs.Write([]byte("ab")); err != proxy.ErrAgain {
		t.Errorf("a write that may take nothing: %v", err)
	}
	allowed = 1
	st.writes(theirs, "a")
	st.writes(theirs, "b")
	for _, now := range []int{0, 1, 0} {
		allowed = now
		st.polls(p, proxy.Event{Token: 1, Ready: proxy.Readable})
		if n, err := ours.Read(make([]byte, 9), 9); n != now || (err == nil) != (now == 1) {
			t.Errorf("a read of %d: %d, %v", now, n, err)
		}
	}
}

// A line has an end, and who cannot be accepted stays in it.
func TestListener(t *testing.T) {
	st := newStage(t)
	p := st.NewPoller()
	l := st.Listen(TCP, 2)
	must(t, p.Add(l.FD(), 7, proxy.Readable))
	from := netip.MustParseAddrPort("192.0.2.1:1234")
	first, err := l.Dial(from)
	must(t, err)
	second, err := l.Dial(from)
	must(t, err)
	if _, err := l.Dial(from); err != proxy.ErrAgain {
		t.Errorf("one more than the line takes: %v, want ErrAgain", err)
	}
	st.writes(first, "hello")
	st.Files = 1
	if _, _, err := p.Accept(l.FD(), false); err != unix.EMFILE {
		t.Errorf("accept without a descriptor: %v, want EMFILE", err)
	}
	st.polls(p, proxy.Event{Token: 7, Ready: proxy.Readable})
	st.Files = 2
	conn, got, err := p.Accept(l.FD(), true)
	must(t, err)
	if got != from {
		t.Errorf("the client is %v, want %v", got, from)
	}
	st.reads(conn.(*Socket), "hello", proxy.ErrAgain)
	l.Close()
	st.reads(second, "", unix.ECONNRESET)
	if _, err := l.Dial(from); err != unix.ECONNREFUSED {
		t.Errorf("a connect after the listener's end: %v, want ECONNREFUSED", err)
	}

	misused := ""
	st.Misused = func(call string, _ *Socket) { misused += call }
	must(t, conn.Close())
	_, _ = conn.Write([]byte("x")) // Misused is told
	if misused != "write" {
		t.Errorf("misused are %q, want the write", misused)
	}
}
