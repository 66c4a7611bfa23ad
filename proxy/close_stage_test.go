package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/metrics"
)

func TestPeersCloseIsPassedOnVerbatim(t *testing.T) {
	for _, code := range []int{0, 1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999} {
		st := newStage(t, nil)
		c, u := st.session(false)
		c.sends(bye(code, "bye"))
		u.wants("the Close goes on as it is", bye(code, "bye"))
		c.wantsNothing("the answer is the upstream's to give")
		u.sends(text("last words"), bye(code, "bye bye"))
		c.wants("what the upstream still sends, and its answer", text("last words"), bye(code, "bye bye"))
		c.wantsEnd("to the client we are the server, which ends TCP first (RFC 6455 7.1.1)")
		c.hangsUp()
		u.wantsNothing("to the upstream we are the client, and wait for its end")
		u.hangsUp()
		st.closed(client)
	}
}

// A client's Close, answered, leaves in one segment with our end of the stream.
// Nothing else is held back for that, nor anything on the upstream's leg, where
// the other end comes first.
func TestOnlyTheLastCloseLeavesWithTheEnd(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sends(text("a"), bye(1000, ""))
	u.sends(text("b"), bye(1000, ""))
	c.wants("all of it", text("b"), bye(1000, ""))
	if got, want := st.legs[client].last, []byte{0x88, 2, 0x03, 0xe8}; !bytes.Equal(got, want) {
		t.Errorf("written to the client as the last: %x, want %x", got, want)
	}
	if got := st.legs[upstream].last; got != nil {
		t.Errorf("written to the upstream as the last: %x", got)
	}
}

func TestUpstreamBeginsToClose(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	u.sends(bye(1001, ""))
	c.wants("the Close goes on", bye(1001, ""))
	u.sends(text("too late"))
	c.wantsNothing("RFC 6455 1.4: data after a Close is discarded")
	c.sends(bye(1001, ""))
	u.wants("the answer", bye(1001, ""))
	u.hangsUp()
	c.hangsUp()
	st.closed(upstream)
}

func TestCloseThatIsNotAnswered(t *testing.T) {
	t.Run("the other ends its TCP", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		c.sends(bye(4000, "x"))
		u.wants("the Close", bye(4000, "x"))
		u.hangsUp()
		c.wants("its own code", bye(4000, ""))
		c.hangsUp()
		st.dropped(upstream, metrics.EOF)
	})
	t.Run("the other is silent", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		u.sends(bye(0, ""))
		c.wants("the Close", bye(0, ""))
		st.pass(9 * time.Second)
		u.wantsNothing("CLOSE_TIMEOUT is not over")
		st.pass(time.Second)
		u.wants("an empty Close stays empty", bye(0, ""))
		c.wantsEnd("it did not answer")
		u.hangsUp()
		st.dropped(client, metrics.CloseTimeout)
	})
	t.Run("the beginner hangs up at once", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		c.sends(bye(1000, ""))
		c.hangsUp()
		u.wants("the Close", bye(1000, ""))
		u.sends(bye(1000, ""))
		u.hangsUp()
		st.closed(client)
	})
}

func TestPeerThatNeverEndsItsTCP(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sends(bye(1000, ""))
	u.sends(bye(1000, ""))
	for range 9 {
		st.pass(time.Second)
		c.sends(text("a dribble"))
	}
	st.pass(time.Second)
	st.closed(client)
}

func TestTCPEndsWithoutClose(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		c.sends(text("last words"))
		c.hangsUp()
		u.wants("what it sent, and why it ends", text("last words"), bye(1001, "client connection lost"))
		u.sends(text("nobody hears"), bye(1001, ""))
		u.hangsUp()
		st.dropped(client, metrics.EOF)
	})
	t.Run("upstream", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		u.hangsUp()
		c.wants("a code that makes clients reconnect", bye(1012, "upstream connection lost"))
		c.sends(bye(1012, ""))
		c.wantsEnd("it has answered")
		c.hangsUp()
		st.dropped(upstream, metrics.EOF)
	})
	t.Run("inside a frame", func(t *testing.T) {
		st := newStage(t, nil)
		c, u := st.session(false)
		whole := text("hello, world").encode(false)
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
		c.sendsBytes(text("hello").encode(true)[:5])
		c.hangsUp()
		u.wants("nothing of the header went on, so there is a boundary", bye(1001, "client connection lost"))
		u.hangsUp()
		st.dropped(client, metrics.EOF)
	})
}

func TestViolation(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	bad := text("x")
	bad.op = ws.OpCode(3)
	c.sends(text("good"), bad, text("never read"))
	u.wants("the good frame, then the Close", text("good"), bye(1001, "client protocol error"))
	c.wantsNothing("the upstream may still answer the good frame")
	u.sends(ping("p"), text("echo"))
	c.wants("the answer to what it did right", text("echo"))
	u.sends(bye(1001, ""))
	c.read()
	got := c.frames()
	if len(got) != 1 || !strings.HasPrefix(got[0].payload, "\x03\xea") { // 1002
		t.Fatalf("client got %v, want its own 1002 and not the upstream's answer", got)
	}
	c.wantsEnd("nothing follows")
	c.hangsUp()
	u.hangsUp()
	st.dropped(client, metrics.ProtocolError)
}

func TestUpstreamViolation(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	u.sendsBytes(text("masked").encode(true))
	c.wants("the upstream is lost to it", bye(1012, "upstream protocol error"))
	u.wantsNothing("the client may still answer")
	c.sends(bye(1012, ""))
	u.read()
	if got := u.frames(); len(got) != 1 || !strings.HasPrefix(got[0].payload, "\x03\xea") {
		t.Fatalf("upstream got %v, want a 1002", got)
	}
	c.hangsUp()
	u.hangsUp()
	st.dropped(upstream, metrics.ProtocolError)
}

func TestViolationWhoseOtherSideIsSilent(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sendsBytes([]byte{0x83, 0x80})
	u.wants("told", bye(1001, "client protocol error"))
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
	c.sends(text(strings.Repeat("a", 100)), text(strings.Repeat("b", 101)))
	u.wants("only what is within the limit", text(strings.Repeat("a", 100)), bye(1001, "client frame too big"))
	u.hangsUp()
	c.read()
	got := c.frames()
	if len(got) != 1 || !strings.HasPrefix(got[0].payload, "\x03\xf1") { // 1009
		t.Fatalf("client got %v, want a 1009", got)
	}
	c.hangsUp()
	st.dropped(client, metrics.TooBig)
}

func TestDrain(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	st.l.now = st.now
	st.l.drain()
	c.wants("told", bye(1012, "proxy is shutting down"))
	u.wants("told", bye(1001, "proxy is shutting down"))
	c.sends(bye(1012, ""))
	u.sends(bye(1001, ""))
	c.hangsUp()
	u.hangsUp()
	st.dropped(proxy, metrics.Drain)
}

func TestDrainInsideAFrame(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	whole := text("hello, world").encode(true)
	c.sendsBytes(whole[:10])
	st.l.now = st.now
	st.l.drain()
	c.wants("its own direction is at a boundary", bye(1012, "proxy is shutting down"))
	c.sendsBytes(append(whole[10:], text("after it").encode(true)...))
	u.wants("the frame may end, then comes the Close", text("hello, world"), bye(1001, "proxy is shutting down"))
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
		c.sends(text("x"))
		u.wants("data", text("x"))
		st.pass(59 * time.Second)
		c.wantsNothing("a data frame begins a new minute")
		c.sends(ping("p"))
		c.wants("its ping is answered", pong("p"))
		st.pass(time.Second)
		c.wants("a ping is no data", bye(1012, "idle timeout"))
		u.wants("told", bye(1001, "idle timeout"))
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
		c.wants("a tenth late at the most", bye(1012, "maximum session duration reached"))
		c.hangsUp()
		u.hangsUp()
		st.dropped(proxy, metrics.MaxDuration)
	})
}
