package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
	"holdfast/metrics"
)

// closes are what a peer may end a session with.
var closes = []wire.Frame{
	wire.Close(1000, ""), wire.Close(1001, ""), wire.Close(1002, ""), wire.Close(1003, ""), wire.Close(1007, ""),
	wire.Close(1008, ""), wire.Close(1009, ""), wire.Close(1010, ""), wire.Close(1011, ""), wire.Close(1012, ""),
	wire.Close(1013, ""), wire.Close(1014, ""), wire.Close(3000, ""), wire.Close(3999, ""), wire.Close(4000, ""),
	wire.Close(4999, ""), wire.EmptyClose(), wire.Close(1000, "bye"), wire.Close(4001, "grüße, 世界"),
	wire.Close(1008, strings.Repeat("r", 123)),
}

func TestPeersCloseIsPassedOnVerbatim(t *testing.T) {
	for i, begins := range closes {
		answers := closes[len(closes)-1-i]
		t.Run(fmt.Sprint("client's ", begins), func(t *testing.T) {
			st := newStage(t, nil)
			c, u := st.session(false)
			c.sends(begins, wire.Text("RFC 6455 1.4: this is discarded"))
			u.wants("the Close goes on as it is", begins)
			c.wantsNothing("the answer is the upstream's to give")
			u.sends(wire.Text("last words"), answers)
			c.wants("what the upstream still sends, and its answer", wire.Text("last words"), answers)
			c.wantsEnd("to the client we are the server, which ends TCP first (RFC 6455 7.1.1)")
			c.hangsUp()
			u.wantsNothing("to the upstream we are the client, and wait for its end")
			u.hangsUp()
			st.closed(client)
		})
		t.Run(fmt.Sprint("upstream's ", begins), func(t *testing.T) {
			st := newStage(t, nil)
			c, u := st.session(false)
			u.sends(begins)
			c.wants("the Close goes on as it is", begins)
			u.sends(wire.Text("too late"))
			c.wantsNothing("RFC 6455 1.4: data after a Close is discarded")
			c.sends(wire.Text("last words"), answers)
			u.wants("what the client still sends, and its answer", wire.Text("last words"), answers)
			c.wantsEnd("to the client we are the server, which ends TCP first (RFC 6455 7.1.1)")
			u.hangsUp()
			c.hangsUp()
			st.closed(upstream)
		})
	}
}

// A client's Close, answered, leaves in one segment with our end of the stream.
// Nothing else is held back for that, nor anything on the upstream's leg, where
// the other end comes first.
func TestOnlyTheLastCloseLeavesWithTheEnd(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sends(wire.Text("a"), wire.Close(1000, ""))
	u.sends(wire.Text("b"), wire.Close(1000, ""))
	c.wants("all of it", wire.Text("b"), wire.Close(1000, ""))
	if got, want := st.legs[client].last, []byte{0x88, 2, 0x03, 0xe8}; !bytes.Equal(got, want) {
		t.Errorf("written to the client as the last: %x, want %x", got, want)
	}
	if got := st.legs[upstream].last; got != nil {
		t.Errorf("written to the upstream as the last: %x", got)
	}
}

func TestCloseThatIsNotAnswered(t *testing.T) {
	t.Run("the other ends its TCP", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		c.sends(wire.Close(4000, "x"))
		u.wants("the Close", wire.Close(4000, "x"))
		u.hangsUp()
		c.wants("its own code", wire.Close(4000, ""))
		c.hangsUp()
		st.dropped(upstream, metrics.EOF)
	})
	t.Run("the other is silent", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		u.sends(wire.EmptyClose())
		c.wants("the Close", wire.EmptyClose())
		st.pass(9 * time.Second)
		u.wantsNothing("CLOSE_TIMEOUT is not over")
		st.pass(time.Second)
		u.wants("an empty Close stays empty", wire.EmptyClose())
		c.wantsEnd("it did not answer")
		u.hangsUp()
		st.dropped(client, metrics.CloseTimeout)
	})
	t.Run("the beginner hangs up at once", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		c.sends(wire.Close(1000, ""))
		c.hangsUp()
		u.wants("the Close", wire.Close(1000, ""))
		u.sends(wire.Close(1000, ""))
		u.hangsUp()
		st.closed(client)
	})
}

func TestPeerThatNeverEndsItsTCP(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sends(wire.Close(1000, ""))
	u.sends(wire.Close(1000, ""))
	for range 9 {
		st.pass(time.Second)
		c.sends(wire.Text("a dribble"))
	}
	st.pass(time.Second)
	st.closed(client)
}

func TestTCPEndsWithoutClose(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		c.sends(wire.Text("last words"))
		c.hangsUp()
		u.wants("what it sent, and why it ends", wire.Text("last words"), wire.Close(1001, "client connection lost"))
		u.sends(wire.Text("nobody hears"), wire.Close(1001, ""))
		u.hangsUp()
		st.dropped(client, metrics.EOF)
	})
	t.Run("upstream", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		u.hangsUp()
		c.wants("a code that makes clients reconnect", wire.Close(1012, "upstream connection lost"))
		c.sends(wire.Close(1012, ""))
		c.wantsEnd("it has answered")
		c.hangsUp()
		st.dropped(upstream, metrics.EOF)
	})
	t.Run("inside a frame", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		whole := wire.Encode(false, wire.Text("hello, world"))
		u.sendsBytes(whole[:7])
		u.hangsUp()
		c.read()
		if got := string(c.got); got != string(whole[:7]) || !c.ended {
			t.Fatalf("client got % x, ended %v: the frame must stay as it is, with no Close inside it", got, c.ended)
		}
		c.close()
		st.dropped(upstream, metrics.EOF)
	})
	t.Run("inside a header", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		c.sendsBytes(wire.Encode(true, wire.Text("hello"))[:5])
		c.hangsUp()
		u.wants("nothing of the header went on, so there is a boundary", wire.Close(1001, "client connection lost"))
		u.hangsUp()
		st.dropped(client, metrics.EOF)
	})
}

func TestViolation(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	bad := wire.Text("x")
	bad.Op = ws.OpCode(3)
	c.sends(wire.Text("good"), bad, wire.Text("never read"))
	u.wants("the good frame, then the Close", wire.Text("good"), wire.Close(1001, "client protocol error"))
	c.wantsNothing("the upstream may still answer the good frame")
	u.sends(wire.Ping("p"), wire.Text("echo"))
	c.wants("the answer to what it did right", wire.Text("echo"))
	u.sends(wire.Close(1001, ""))
	c.wantsClose("its own, and not the upstream's answer", 1002)
	c.wantsEnd("nothing follows")
	c.hangsUp()
	u.hangsUp()
	st.dropped(client, metrics.ProtocolError)
}

func TestUpstreamViolation(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	u.sendsBytes(wire.Encode(true, wire.Text("masked")))
	c.wants("the upstream is lost to it", wire.Close(1012, "upstream protocol error"))
	u.wantsNothing("the client may still answer")
	c.sends(wire.Close(1012, ""))
	u.wantsClose("it broke the protocol", 1002)
	c.hangsUp()
	u.hangsUp()
	st.dropped(upstream, metrics.ProtocolError)
}

func TestViolationWhoseOtherSideIsSilent(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sendsBytes([]byte{0x83, 0x80})
	u.wants("told", wire.Close(1001, "client protocol error"))
	st.pass(10 * time.Second)
	u.wantsEnd("it had CLOSE_TIMEOUT to answer")
	c.read()
	if got := c.frames(); len(got) != 1 {
		t.Fatalf("client got %v, want its 1002", got)
	}
	st.pass(10 * time.Second)
	st.dropped(client, metrics.ProtocolError)
}

func TestTooBig(t *testing.T) {
	st := newStage(t, func(c *Config) { c.MaxFrameSize = 100 })
	c, u := st.session(false)
	c.sends(wire.Text(strings.Repeat("a", 100)), wire.Text(strings.Repeat("b", 101)))
	u.wants("only what is within the limit", wire.Text(strings.Repeat("a", 100)), wire.Close(1001, "client frame too big"))
	u.hangsUp()
	c.wantsClose("its frame is too large", 1009)
	c.hangsUp()
	st.dropped(client, metrics.TooBig)
}

func TestDrain(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	st.l.now = st.now
	st.l.drain()
	c.wants("told", wire.Close(1012, "proxy is shutting down"))
	u.wants("told", wire.Close(1001, "proxy is shutting down"))
	c.sends(wire.Close(1012, ""))
	u.sends(wire.Close(1001, ""))
	c.hangsUp()
	u.hangsUp()
	st.dropped(proxy, metrics.Drain)
}

func TestDrainInsideAFrame(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	whole := wire.Encode(true, wire.Text("hello, world"))
	c.sendsBytes(whole[:10])
	st.l.now = st.now
	st.l.drain()
	c.wants("its own direction is at a boundary", wire.Close(1012, "proxy is shutting down"))
	c.sendsBytes(append(whole[10:], wire.Encode(true, wire.Text("after it"))...))
	u.wants("the frame may end, then comes the Close", wire.Text("hello, world"), wire.Close(1001, "proxy is shutting down"))
	c.hangsUp()
	u.hangsUp()
	st.dropped(proxy, metrics.Drain)
}

func TestLimits(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		st := newStage(t, func(c *Config) {
			c.IdleTimeout = time.Minute
			c.Client.Interval, c.UpstreamSide.Interval = 0, 0
		})
		c, u := st.session(false)
		st.pass(59 * time.Second)
		c.sends(wire.Text("x"))
		u.wants("data", wire.Text("x"))
		st.pass(59 * time.Second)
		c.wantsNothing("a data frame begins a new minute")
		c.sends(wire.Ping("p"))
		c.wants("its ping is answered", wire.Pong("p"))
		st.pass(time.Second)
		c.wants("a ping is no data", wire.Close(1012, "idle timeout"))
		u.wants("told", wire.Close(1001, "idle timeout"))
		c.hangsUp()
		u.hangsUp()
		st.dropped(proxy, metrics.IdleTimeout)
	})
	t.Run("age", func(t *testing.T) {
		st := newStage(t, func(c *Config) {
			c.MaxSessionDuration = time.Hour
			c.Client.Interval, c.UpstreamSide.Interval = 0, 0
		})
		c, u := st.session(false)
		st.pass(53 * time.Minute)
		c.wantsNothing("a tenth early at the most")
		st.pass(13 * time.Minute)
		c.wants("a tenth late at the most", wire.Close(1012, "maximum session duration reached"))
		c.hangsUp()
		u.hangsUp()
		st.dropped(proxy, metrics.MaxDuration)
	})
}
