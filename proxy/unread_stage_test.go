package proxy

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"holdfast/internal/wire"
	"holdfast/metrics"
)

// flood is more small frames than two reads hold. 63 KiB hold a whole number of them.
var flood = bytes.Repeat(wire.Encode(true, wire.Binary("12345678")), 10_000)

// What arrived before a deadline is read before the peer is judged, even if one read
// does not hold it.
func TestNothingIsJudgedUnread(t *testing.T) {
	t.Run("a pong", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		st.pass(21 * time.Second)
		answer := c.wantsPing("due")
		c.pushes(slices.Concat(flood, wire.Encode(true, answer)))
		st.now = st.now.Add(10 * time.Minute) // the process was stopped
		st.drains(u)
		c.wantsPing("the pong was there: the next ping, and no Close")
	})
	t.Run("a pong that came just in time", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		st.pass(20 * time.Second)
		answer := c.wantsPing("due")
		st.pass(st.l.session(c).legs[client].beat.Next().Sub(st.now)) // to the first look
		by := st.l.session(c).legs[client].beat.Next()
		st.pass(by.Sub(st.now) - 2*wheelLag)
		c.pushes(slices.Concat(flood, wire.Encode(true, answer)))
		st.now = by.Add(wheelLag) // the loop is in time: nothing is excused
		st.drains(u)
		c.wantsPing("the pong was there: the next ping, and no Close")
	})
	t.Run("a Close", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		u.sends(wire.Close(1000, ""))
		c.wants("the Close", wire.Close(1000, ""))
		c.pushes(slices.Concat(flood, wire.Encode(true, wire.Close(1000, ""))))
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

// While the process is stopped, a receive buffer fills up. What the peer answers then
// waits in the peer's kernel, and comes after the buffer has been read.
func TestAnswerBehindAFullBuffer(t *testing.T) {
	for _, stop := range []struct {
		name       string
		begins     time.Duration // after the ping, or the Close
		ends       time.Duration
		full       time.Duration // when the buffer is full
		kept, late time.Duration // when it is answered, and when an answer is too late
	}{
		{"over the deadline", 0, 10 * time.Minute, time.Second, 10*time.Minute + 19*time.Second, 10*time.Minute + 21*time.Second},
		{"over the first look", 9 * time.Second, 19 * time.Second, 9500 * time.Millisecond, 38 * time.Second, 40 * time.Second},
		{"between the two", 11 * time.Second, 19 * time.Second, 12 * time.Second, 38 * time.Second, 40 * time.Second},
		{"and no time: it is full for a moment", 11 * time.Second, 19 * time.Second, 18950 * time.Millisecond, 19500 * time.Millisecond, 21 * time.Second},
	} {
		t.Run("stopped "+stop.name, func(t *testing.T) {
			for _, answers := range []bool{true, false} {
				st := newStage(t, onlyClients)
				c, u := st.session(false)
				link := c.slows()
				st.pass(20 * time.Second)
				pong := c.wantsPing("due")
				link.acknowledges(1 << 20)
				asked := st.now
				at := func(d time.Duration) { st.pass(asked.Add(d).Sub(st.now) - wheelLag) }
				at(stop.begins)
				c.pushes(flood)
				link.data = asked.Add(stop.full)
				st.now = asked.Add(stop.ends)
				st.drains(u)
				if answers {
					at(stop.kept)
					c.sends(pong)
					at(stop.late)
					c.wantsPing("the pong came in time: the next ping, and no Close")
				} else {
					at(stop.kept)
					c.wants("nothing: there is time")
					at(stop.late)
					c.wants("the time is over", wire.Close(1011, "keepalive ping timeout"))
				}
			}
		})
	}
	t.Run("a Close", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		u.sends(wire.Close(1000, ""))
		c.wants("the Close", wire.Close(1000, ""))
		c.pushes(flood)
		st.now = st.now.Add(time.Minute)
		st.drains(u)
		st.pass(9 * time.Second)
		c.sends(wire.Close(1000, ""))
		u.hangsUp()
		c.hangsUp()
		st.closed(upstream)
	})
	t.Run("a Close that never comes", func(t *testing.T) {
		st := newStage(t, onlyClients)
		c, u := st.session(false)
		u.sends(wire.Close(1000, ""))
		c.wants("the Close", wire.Close(1000, ""))
		c.pushes(flood)
		st.now = st.now.Add(time.Minute)
		st.drains(u)
		st.pass(11 * time.Second)
		u.hangsUp()
		st.dropped(client, metrics.CloseTimeout)
	})
}

// A peer that floods and does not answer is found in time, as long as the loop is.
func TestFloodIsNoExcuse(t *testing.T) {
	st := newStage(t, onlyClients)
	c, u := st.session(false)
	st.pass(20 * time.Second)
	c.wantsPing("due")
	link := c.slows()
	for range 38 {
		c.pushes(flood)
		link.data = st.now
		st.drains(u)
		st.pass(500*time.Millisecond - wheelLag)
	}
	c.wants("nothing yet")
	st.pass(time.Second)
	c.wants("its time is over", wire.Close(1011, "keepalive ping timeout"))
}
