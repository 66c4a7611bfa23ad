package heartbeat

import (
	"testing"
	"time"
)

// A conversation is a script of what one leg's owner and its State say to each
// other, with invented time. at moves to a moment; each expectation says why.
// Unless a script looks itself, every ping is found to have arrived at once.
type conversation struct {
	t     *testing.T
	rules Rules
	state State
	now   Time
}

// opened begins a conversation with Open at 0s.
func opened(t *testing.T, rules Rules) *conversation {
	t.Helper()
	c := &conversation{t: t, rules: rules}
	c.state.Open(&c.rules, 0, 0)
	return c
}

// instant reads a moment of a script, such as "20.05s".
func instant(t *testing.T, s string) Time {
	t.Helper()
	return Time(duration(t, s))
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (c *conversation) at(moment string) *conversation {
	c.t.Helper()
	c.now = instant(c.t, moment)
	return c
}

// arrives lets the first look at a late pong find that its ping arrived long ago.
func (c *conversation) arrives(s *State, now Time) {
	if s.status == owed && s.wait == Unseen && s.reached(now) {
		s.Looked(&c.rules, s.at, Delivery{Arrived: true, Moved: s.sentAt})
	}
}

// looks expects a look to be due now and no earlier, and tells what it finds.
func (c *conversation) looks(d Delivery, want Action, why string) *conversation {
	c.t.Helper()
	if next := c.state.Next(); next != c.now || c.state.Advance(c.now, c.now) != Look {
		c.t.Errorf("at %v: a look is due at %v, want it now: %s", time.Duration(c.now), time.Duration(next), why)
	}
	if got := c.state.Looked(&c.rules, c.now, d); got != want {
		c.t.Errorf("at %v: %v after a look, want %v: %s", time.Duration(c.now), name(got), name(want), why)
	}
	return c
}

// wants expects what Advance says now, and that Overdue has foretold it.
func (c *conversation) wants(want Action, why string) *conversation {
	c.t.Helper()
	c.arrives(&c.state, c.now)
	if got := c.state.Overdue(c.now); got != (want == Expired) {
		c.t.Errorf("at %v: overdue %v before %v: %s", time.Duration(c.now), got, name(want), why)
	}
	got := c.state.Advance(c.now, c.now)
	if got == Look { // it has arrived
		got = c.state.Looked(&c.rules, c.now, Delivery{Arrived: true})
	}
	if got != want {
		c.t.Errorf("at %v: %v, want %v: %s", time.Duration(c.now), name(got), name(want), why)
	}
	return c
}

// wantsPing expects Ping now and nothing a nanosecond earlier.
func (c *conversation) wantsPing(why string) *conversation {
	c.t.Helper()
	c.arrives(&c.state, c.now-1)
	if got := c.state.Advance(c.now-1, c.now-1); got != None {
		c.t.Errorf("just before %v: %v: %s", time.Duration(c.now), name(got), why)
	}
	return c.wants(Ping, why)
}

// expires expects Expired now and nothing a nanosecond earlier.
func (c *conversation) expires(why string) {
	c.t.Helper()
	c.arrives(&c.state, c.now-1)
	if got := c.state.Advance(c.now-1, c.now-1); got != None {
		c.t.Errorf("just before %v: %v: %s", time.Duration(c.now), name(got), why)
	}
	c.wants(Expired, why)
}

// next expects that nothing is to be said before a moment, "never" included, but
// for the first look at a late pong.
func (c *conversation) next(moment, why string) *conversation {
	c.t.Helper()
	want := Never
	if moment != "never" {
		want = instant(c.t, moment)
	}
	s := c.state
	c.arrives(&s, Never-1)
	if got := s.Next(); got != want {
		c.t.Errorf("at %v: next is %v, want %s: %s", time.Duration(c.now), time.Duration(got), moment, why)
	}
	return c
}

// sends lets the wanted ping leave, to a peer that is known to answer pings.
func (c *conversation) sends(payload uint64) *conversation {
	c.state.Sent(&c.rules, c.now, payload, true, false)
	return c
}

// sendsUnarmed lets the wanted ping leave, to a peer that never answered one.
func (c *conversation) sendsUnarmed(payload uint64) *conversation {
	c.state.Sent(&c.rules, c.now, payload, false, false)
	return c
}

// hears lets bytes arrive between frames: whole ones.
func (c *conversation) hears() *conversation {
	c.state.Heard(&c.rules, c.now, false)
	return c
}

// hearsMidFrame lets a part of a frame arrive.
func (c *conversation) hearsMidFrame() *conversation {
	c.state.Heard(&c.rules, c.now, true)
	return c
}

// pong lets an echo arrive, bytes and all, and expects its round trip.
func (c *conversation) pong(payload uint64, rtt, why string) *conversation {
	c.t.Helper()
	c.hears()
	return c.answers(AppendPayload(nil, payload), true, rtt, why)
}

// otherPong lets a pong arrive that echoes nothing, bytes and all, and expects it to be
// the answer to the latest ping.
func (c *conversation) otherPong(payload, rtt, why string) *conversation {
	c.t.Helper()
	c.hears()
	return c.answers([]byte(payload), false, rtt, why)
}

func (c *conversation) answers(payload []byte, echo bool, rtt, why string) *conversation {
	c.t.Helper()
	want := Answer{Counts: true, Echo: echo, Measured: true, Took: duration(c.t, rtt)}
	if got := c.state.Pong(&c.rules, c.now, payload, false); got != want {
		c.t.Errorf("at %v: pong %q: %+v, want %+v: %s", time.Duration(c.now), payload, got, want, why)
	}
	if last, ok := c.state.RTT(); !ok || last != want.Took {
		c.t.Errorf("at %v: RTT is %v, %v after a pong of %v", time.Duration(c.now), last, ok, want.Took)
	}
	return c
}

// unmeasuredPong lets an echo arrive whose round trip must not count.
func (c *conversation) unmeasuredPong(payload uint64, why string) *conversation {
	c.t.Helper()
	before, _ := c.state.RTT()
	c.hears()
	if got := c.state.Pong(&c.rules, c.now, AppendPayload(nil, payload), false); !got.Counts || !got.Echo || got.Measured {
		c.t.Errorf("at %v: pong %d: %+v, want an echo that is not measured: %s", time.Duration(c.now), payload, got, why)
	}
	if after, _ := c.state.RTT(); after != before {
		c.t.Errorf("at %v: RTT is %v, want %v as before: %s", time.Duration(c.now), after, before, why)
	}
	return c
}

// foreignPong lets a pong arrive that must count as nothing.
func (c *conversation) foreignPong(payload []byte, why string) *conversation {
	c.t.Helper()
	return c.ignoresPong(payload, false, why)
}

// earlyPong lets a pong arrive that began to arrive before the latest ping left, and must
// count as nothing.
func (c *conversation) earlyPong(payload, why string) *conversation {
	c.t.Helper()
	return c.ignoresPong([]byte(payload), true, why)
}

func (c *conversation) ignoresPong(payload []byte, early bool, why string) *conversation {
	c.t.Helper()
	before := c.state
	if got := c.state.Pong(&c.rules, c.now, payload, early); got != (Answer{}) {
		c.t.Errorf("at %v: pong %q is an answer, %+v: %s", time.Duration(c.now), payload, got, why)
	}
	if c.state != before {
		c.t.Errorf("at %v: pong % x changed the state: %s", time.Duration(c.now), payload, why)
	}
	return c
}

// reply lets an answer arrive that does not say which ping it answers. It is measured as
// rtt, or not if that is empty.
func (c *conversation) reply(rtt, why string) *conversation {
	c.t.Helper()
	got := c.state.Reply(&c.rules, c.now)
	if !got.Counts || !got.Echo || got.Measured != (rtt != "") || rtt != "" && got.Took != duration(c.t, rtt) {
		c.t.Errorf("at %v: reply: %+v, want a round trip of %q: %s", time.Duration(c.now), got, rtt, why)
	}
	return c
}

// foreignReply lets a reply arrive that must count as nothing.
func (c *conversation) foreignReply(why string) *conversation {
	c.t.Helper()
	before := c.state
	if got := c.state.Reply(&c.rules, c.now); got != (Answer{}) || c.state != before {
		c.t.Errorf("at %v: reply: %+v, want nothing: %s", time.Duration(c.now), got, why)
	}
	return c
}

// defers lets the wanted ping wait for the end of a message.
func (c *conversation) defers() *conversation {
	c.state.Defer(&c.rules)
	return c
}

func (c *conversation) pauses() *conversation {
	c.state.Pause()
	return c
}

// resumes: the peer's bytes lay unread.
func (c *conversation) resumes() *conversation {
	c.state.Resume(&c.rules, c.now, true)
	return c
}

// resumesToNothing: no byte lay unread.
func (c *conversation) resumesToNothing() *conversation {
	c.state.Resume(&c.rules, c.now, false)
	return c
}

func (c *conversation) stops() *conversation {
	c.state.Stop()
	return c
}

func name(a Action) string {
	return [...]string{None: "None", Ping: "Ping", Look: "Look", Expired: "Expired"}[a]
}
