package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"holdfast/internal/wire"
)

// What arrived before a deadline is read before the peer is judged, even if one read
// does not hold it.
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
