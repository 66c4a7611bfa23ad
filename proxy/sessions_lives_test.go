package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/wire"
	"holdfast/metrics"
)

// asks runs f beside the loop, which is turned whenever a job wakes it, and counts the
// turns.
func (w *inventedWorld) asks(f func()) (turns int) {
	w.t.Helper()
	woken, done := make(chan struct{}, 1), make(chan struct{})
	w.l.inbox.wake = func() { woken <- struct{}{} }
	go func() { defer close(done); f() }()
	for {
		select {
		case <-woken:
			turns++
			w.run()
		case <-done:
			w.l.inbox.wake = func() {}
			return turns
		}
	}
}

// lists returns the answer to q.
func (w *inventedWorld) lists(q SessionQuery) (list SessionList, turns int) {
	w.t.Helper()
	turns = w.asks(func() {
		var err error
		if list, err = w.server.SessionList(context.Background(), q); err != nil {
			w.t.Error(err)
		}
	})
	return list, turns
}

// closes asks for the end of a session, as an operator does.
func (w *inventedWorld) closes(id uint64) (was SessionStatus, found bool) {
	w.t.Helper()
	w.asks(func() {
		var err error
		if was, found, err = w.server.CloseSession(context.Background(), id); err != nil {
			w.t.Error(err)
		}
	})
	return was, found
}

// endedSessions makes a Config that keeps the ends.
func endedSessions(ends *[]*Ended) func(*Config) {
	return func(c *Config) { c.Ended = func(e *Ended) { *ends = append(*ends, e) } }
}

// A session is listed with what is known about it.
func TestSessionIsListed(t *testing.T) {
	w := newInventedWorld(t, nil)
	c, u := w.opens()
	waiting := w.dials() // a handshake is not a session
	w.pass(2 * time.Second)
	c.sends(wire.Text("hello"))
	u.told()
	w.pass(3 * time.Second)
	list, _ := w.lists(SessionQuery{Order: ByAge, Limit: 10})
	if list.Total != 1 || list.Matched != 1 || len(list.Sessions) != 1 {
		t.Fatalf("the list is %+v, want one session", list)
	}
	got := list.Sessions[0]
	if !got.Client.IsValid() || got.Client.Addr() != netip.MustParseAddr("192.0.2.1") || got.Path != "/chat" || got.State != SessionLive {
		t.Errorf("the session is %+v", got)
	}
	if target := w.server.oneTarget(); got.Upstream != target.Name() || got.Address != target.Address() {
		t.Errorf("the session is at %q, %q", got.Upstream, got.Address)
	}
	about := func(what string, d, want time.Duration) {
		t.Helper()
		if d < want || d > want+200*time.Millisecond {
			t.Errorf("%s is %v, want about %v", what, d, want)
		}
	}
	about("its age", got.Age, 5*time.Second)
	about("its idleness", got.Idle, 3*time.Second)
	about("the client's silence", got.Legs[client].Silent, 3*time.Second)
	about("the upstream's silence", got.Legs[upstream].Silent, 5*time.Second)
	if got.Legs[client].Frames != 1 || got.Legs[upstream].Frames != 0 {
		t.Errorf("%d and %d frames have come, want 1 and 0", got.Legs[client].Frames, got.Legs[upstream].Frames)
	}
	if got.Legs[client].Measured || got.Legs[client].Buffered != 0 {
		t.Errorf("the client's leg is %+v", got.Legs[client])
	}
	if n := w.server.Handshakes(); n != 1 {
		t.Errorf("%d handshakes are under way, want 1", n)
	}
	waiting.hangsUp()
}

// The last round trip of an application's heartbeat is listed beside that of the pings.
func TestApplicationsRoundTripIsListed(t *testing.T) {
	w := newInventedWorld(t, func(c *Config) {
		c.ClientApp = App{Ping: "ping", Interval: 10 * time.Second, Pong: pattern(t, "pong")}
	})
	c, _ := w.opens()
	w.pass(10 * time.Second)
	c.wants("due", wire.Text("ping"))
	w.pass(50 * time.Millisecond)
	c.sends(wire.Text("pong"))
	list, _ := w.lists(SessionQuery{Order: ByAge, Limit: 10})
	legs := list.Sessions[0].Legs
	if got := legs[client]; !got.AppMeasured || got.AppRTT < 50*time.Millisecond || got.AppRTT > 250*time.Millisecond || got.Measured {
		t.Errorf("the client's leg is %+v, want a round trip of its application alone, of 50 ms and as much as the ping was early", got)
	}
	if legs[upstream].AppMeasured {
		t.Errorf("the upstream's leg is %+v, and it has no such heartbeat", legs[upstream])
	}
}

// A session that is ending says so, and its silence does not grow any more.
func TestEndingSessionIsListed(t *testing.T) {
	w := newInventedWorld(t, nil)
	c, u := w.opens()
	state := func() SessionStatus {
		list, _ := w.lists(SessionQuery{Order: ByAge, Limit: 1})
		return list.Sessions[0]
	}
	w.pass(time.Second)
	c.sends(wire.Close(1000, ""))
	if got := state(); got.State != SessionClosing || got.Legs[upstream].Silent < time.Second {
		t.Errorf("the client has sent its Close: %+v", got)
	}
	silent := state().Legs[upstream].Silent
	w.pass(time.Second)
	u.sends(wire.Close(1000, ""))
	if got := state(); got.State != SessionEnding || got.Legs[upstream].Silent != silent {
		t.Errorf("both have sent their Close: %+v, and the silence was %v", got, silent)
	}
}

// Bytes that wait for a peer are listed.
func TestBufferedBytesAreListed(t *testing.T) {
	w := newInventedWorld(t, nil)
	c, _ := w.opens()
	for range 3 {
		c.socket.Write(wire.Encode(true, wire.Binary(strings.Repeat("x", 60<<10))))
		w.run()
	}
	w.opens()
	list, _ := w.lists(SessionQuery{Order: ByBuffered, Limit: 1})
	if got := list.Sessions[0]; got.Legs[upstream].Buffered == 0 || got.Legs[client].Buffered != 0 {
		t.Errorf("the upstream takes nothing, and the session is %+v", got)
	}
}

// fills opens sessions on the table without handshakes. Each is older than the next.
func (w *inventedWorld) fills(n int) (all []*session) {
	for i := range n {
		s := &session{
			id:      w.server.nextID(),
			addr:    netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}),
			port:    1024,
			path:    fmt.Sprintf("/room/%d", i),
			target:  w.server.oneTarget(),
			timer:   heartbeat.Never,
			opening: &opening{},
		}
		w.l.now = w.now
		w.l.sessions.Add(1)
		w.l.admit(s)
		for _, side := range sides {
			s.legs[side].open(&silentPeer{})
		}
		w.l.begin(s, false)
		s.opening = nil
		w.now = w.now.Add(time.Millisecond)
		all = append(all, s)
	}
	return all
}

// A list of many sessions is made in slices, between which the loop does its other work.
func TestLongListIsMadeInSlices(t *testing.T) {
	w := newInventedWorld(t, nil)
	const sessions = 1000
	w.fills(sessions)
	list, turns := w.lists(SessionQuery{Order: ByAge, Limit: 7})
	if list.Total != sessions || list.Matched != sessions || len(list.Sessions) != 7 {
		t.Errorf("the list has %d of %d of %d sessions", len(list.Sessions), list.Matched, list.Total)
	}
	if least := sessions / sliceSlots; turns < least {
		t.Errorf("the loop was given %d jobs, want more than %d", turns, least)
	}
	for i, s := range list.Sessions {
		if want := fmt.Sprintf("/room/%d", i); s.Path != want {
			t.Errorf("number %d is %s, want %s: the oldest come first", i, s.Path, want)
		}
	}
}

func TestListsAreSorted(t *testing.T) {
	w := newInventedWorld(t, nil)
	all := w.fills(600) // more than two slices
	first, last := all[0], all[599]
	first.lastData = w.now // the oldest is the least idle
	answers := func(s *session, side Side, rtt time.Duration) {
		r := &w.l.rules[side]
		b := &s.legs[side].beat
		b.Open(r, 0, 0)
		b.Advance(b.Next(), b.Next())
		b.Sent(r, 0, 1, true, false)
		b.Pong(r, heartbeat.Time(rtt), heartbeat.AppendPayload(nil, 1), false)
	}
	answers(all[300], client, time.Millisecond)
	answers(all[301], client, 2*time.Millisecond)
	answers(all[302], upstream, time.Millisecond)
	for _, tc := range []struct {
		query SessionQuery
		want  []*session
	}{
		{SessionQuery{Order: ByAge}, []*session{first, all[1], all[2]}},
		{SessionQuery{Order: ByAge, Ascending: true}, []*session{last, all[598], all[597]}},
		{SessionQuery{Order: ByIdle}, []*session{all[1], all[2], all[3]}},
		{SessionQuery{Order: ByIdle, Ascending: true}, []*session{first, last, all[598]}},
		{SessionQuery{Order: ByClientRTT}, []*session{all[301], all[300], first}},
		{SessionQuery{Order: ByClientRTT, Ascending: true}, []*session{all[300], all[301], first}},
		{SessionQuery{Order: ByUpstreamRTT}, []*session{all[302], first, all[1]}},
		{SessionQuery{Order: ByBuffered}, []*session{first, all[1], all[2]}},
		{SessionQuery{Order: ByAge, Filter: "/room/59"}, []*session{all[59], all[590], all[591]}},
		{SessionQuery{Order: ByAge, Filter: "192.0.1.0:1024"}, []*session{all[256]}},
		{SessionQuery{Order: ByAge, Filter: "elsewhere"}, nil},
	} {
		t.Run(fmt.Sprintf("%s ascending %v of %q", tc.query.Order, tc.query.Ascending, tc.query.Filter), func(t *testing.T) {
			tc.query.Limit = 3
			list, _ := w.lists(tc.query)
			var got, want []string
			for _, s := range list.Sessions {
				got = append(got, s.Path)
			}
			for _, s := range tc.want {
				want = append(want, s.path)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the list has %q, want %q", got, want)
			}
		})
	}
	if list, _ := w.lists(SessionQuery{Order: ByAge, Filter: "/room/5"}); list.Matched != 111 || list.Sessions != nil {
		t.Errorf("%d sessions match, want 111; and %d are listed, want none", list.Matched, len(list.Sessions))
	}
}

// Nobody waits for a list that nobody waits for.
func TestListIsGivenUp(t *testing.T) {
	w := newInventedWorld(t, nil)
	gone, leaves := context.WithCancel(context.Background())
	leaves()
	if _, err := w.server.SessionList(gone, SessionQuery{}); !errors.Is(err, context.Canceled) {
		t.Errorf("the list ends with %v", err)
	}
	w.l.inbox.stop()
	if list, err := w.server.SessionList(context.Background(), SessionQuery{}); err != nil || list.Total != 0 {
		t.Errorf("the loop has ended, and the list is %+v, %v", list, err)
	}
}

// An operator ends one session. The others go on.
func TestOperatorClosesASession(t *testing.T) {
	var ends []*Ended
	w := newInventedWorld(t, endedSessions(&ends))
	c, u := w.opens()
	other, _ := w.opens()
	list, _ := w.lists(SessionQuery{Order: ByAge, Limit: 1})
	id := list.Sessions[0].ID

	was, found := w.closes(id)
	if !found || was.ID != id || was.State != SessionLive {
		t.Fatalf("found is %v, and the session was %+v", found, was)
	}
	c.wants("it is told who asked", wire.Close(1012, "closed by operator"))
	u.wants("it is told who asked", wire.Close(1001, "closed by operator"))
	if was, found = w.closes(id); !found || was.State != SessionEnding {
		t.Errorf("it is ending: found is %v, and the session is %+v", found, was)
	}
	c.sends(wire.Close(1012, ""))
	u.sends(wire.Close(1001, ""))
	c.hangsUp()
	u.hangsUp()
	if len(ends) != 1 || ends[0].ID != id || ends[0].Closed || ends[0].Side != metrics.Proxy || ends[0].Reason != metrics.Admin {
		t.Errorf("the ends are %+v", ends)
	}
	if _, found = w.closes(id); found {
		t.Error("the session has ended, and is found")
	}
	other.sends(wire.Ping("still there?"))
	other.wants("its session goes on", wire.Pong("still there?"))
}

// A handshake is not a session, whatever its id.
func TestOperatorClosesNoHandshake(t *testing.T) {
	w := newInventedWorld(t, nil)
	w.dials()
	for id := range uint64(5) {
		if _, found := w.closes(w.server.ids.Load() - id); found {
			t.Error("a handshake is closed as a session")
		}
	}
}

func TestSessionNames(t *testing.T) {
	for _, id := range []uint64{0, 35, 36, 1<<64 - 1} {
		if got, ok := SessionID(SessionName(id)); got != id || !ok {
			t.Errorf("%d has the name %q, which is the name of %d", id, SessionName(id), got)
		}
	}
	for _, name := range []string{"", "A", "01", "-1", "+1", "1_0", "ü", "%31", strings.Repeat("z", 13), "3w5e11264sgsg"} {
		if id, ok := SessionID(name); ok {
			t.Errorf("%q is the name of %d", name, id)
		}
	}
}

// Clients choose their paths. Long ones make a slice short, and all slots have their slice.
func TestSlicesOfLongPathsAreShort(t *testing.T) {
	for length, want := range map[int]int{0: sliceSlots, 100: sliceSlots, 1 << 10: 64, 20 << 10: 4, 2 * slicePaths: 1} {
		var all table
		for i := range 1000 {
			all.slots = append(all.slots, slot{})
			if i%2 == 0 || length > 100 {
				all.slots[i].session = &session{path: strings.Repeat("a", length)}
			}
		}
		from := 0
		for from < len(all.slots) {
			got := len(all.slice(from))
			if left := len(all.slots) - from; got != min(want, left) {
				t.Fatalf("with paths of %d bytes the slice from %d on has %d slots, want %d", length, from, got, min(want, left))
			}
			from += got
		}
		if got := all.slice(from); len(got) != 0 {
			t.Errorf("behind the last slot are %d", len(got))
		}
	}
}

// BenchmarkListSlice is what one slice of a list costs its loop, which holds 9,000
// sessions. Each list has thirty-six slices.
func BenchmarkListSlice(b *testing.B) {
	for _, q := range []SessionQuery{
		{Order: ByAge, Limit: 200},
		{Order: ByAge, Ascending: true, Limit: 1000},
		{Order: ByIdle, Limit: 200, Filter: "192.0.2.77"},
	} {
		b.Run(fmt.Sprintf("%s/ascending=%v/limit=%d/filter=%q", q.Order, q.Ascending, q.Limit, q.Filter), func(b *testing.B) {
			world := newSilentWorld(b)
			for range 9000 {
				world.open()
				world.now = world.now.Add(time.Millisecond)
			}
			l, from, found := world.l, 0, newListing(q)
			for b.Loop() {
				slots := l.table.slice(from)
				if from += len(slots); len(slots) == 0 {
					from, found = 0, newListing(q)
				}
				l.list(slots, found)
			}
		})
	}
}
