package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/wire"
	"holdfast/metrics"
)

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

// After a read that brought a crowd of pings the next reads are small, so that a peer does
// not fill the turns of the others. Each read is answered once, so the pongs count them.
func TestFloodOfPingsIsReadInSmallPieces(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	for _, p := range []*peer{c, u} {
		ping := wire.Encode(p.masks(), wire.Ping(""))
		flood := bytes.Repeat(ping, 120_000/len(ping))
		p.sendsBytes(flood)
		p.read()
		if reads, want := len(p.frames()), (len(flood)-readSize)/crowdedRead; reads < want {
			t.Errorf("%v: %d bytes of pings were read in %d pieces, want at least %d", p.side, len(flood), reads, want)
		}
	}
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
