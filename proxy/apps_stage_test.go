package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"holdfast/heartbeat"
	"holdfast/internal/wire"
	"holdfast/metrics"
	"holdfast/proxy/internal/message"
)

// appStage is a stage whose legs have these messages of applications, each sent every 10 s
// and answered within 20 s. Pings come every hour.
func appStage(t *testing.T, change func(client, upstream *App)) *stage {
	t.Helper()
	return newStage(t, func(c *Config) {
		c.Client.Interval, c.UpstreamSide.Interval = time.Hour, time.Hour
		c.ClientApp.Interval, c.UpstreamApp.Interval = 10*time.Second, 10*time.Second
		change(&c.ClientApp, &c.UpstreamApp)
	})
}

// pattern parses a pattern.
func pattern(t *testing.T, text string) *message.Pattern {
	t.Helper()
	p, err := message.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

// answers parses rules.
func answers(t *testing.T, text string) []message.Answer {
	t.Helper()
	all, err := message.ParseAnswers(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ofSide changes the messages of one side's leg.
func ofSide(side Side, change func(*App)) func(client, upstream *App) {
	return func(c, u *App) {
		if side == client {
			change(c)
		} else {
			change(u)
		}
	}
}

func TestApplicationPingIsSent(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := appStage(t, ofSide(side, func(a *App) { a.Ping = "are you there?" }))
			to, from := st.way(side)
			st.pass(9 * time.Second)
			to.wantsNothing("the first comes one interval after opening")
			for range 3 {
				st.pass(time.Second)
				to.wants("due", wire.Text("are you there?"))
				from.sends(wire.Text("data"))
				to.wants("passed", wire.Text("data"))
				st.pass(9 * time.Second)
			}
			to.wantsNothing("data does not bring it earlier")
			from.wantsNothing("the other peer gets none")
			st.counts(map[string]float64{
				fmt.Sprintf("app_pings_sent_total{%v}", side):           3,
				fmt.Sprintf("app_pings_sent_total{%v}", opposite(side)): 0,
				"pings_sent_total{client}":                              0,
			})
		})
	}
}

func TestApplicationPingWaitsForTheEndOfAMessage(t *testing.T) {
	for _, side := range sides {
		st := appStage(t, ofSide(side, func(a *App) { a.Ping = "beat" }))
		to, from := st.way(side)
		begins(from, to)
		st.pass(time.Minute)
		to.wantsNothing("a message cannot stand inside another one")
		from.sends(wire.Ping("its own"), wire.Continuation("more").More())
		from.wants("answered", wire.Pong("its own"))
		to.wants("it goes on", wire.Continuation("more").More())
		from.sends(wire.Continuation("the end"), wire.Text("next"))
		to.wants("at the end of the message", wire.Continuation("the end"), wire.Text("beat"), wire.Text("next"))
	}
}

// A compressed message may stand beside one that is not (RFC 7692 6).
func TestApplicationPingBetweenCompressedMessages(t *testing.T) {
	st := appStage(t, ofSide(client, func(a *App) { a.Ping = "beat" }))
	c, u := st.session(true)
	u.sends(wire.Binary("zipped").Reserved(4))
	st.pass(10 * time.Second)
	u.sends(wire.Text("zipped").Reserved(4))
	c.wants("between them", wire.Binary("zipped").Reserved(4), wire.Text("beat"), wire.Text("zipped").Reserved(4))
}

func TestApplicationThatStopsAnswering(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := appStage(t, ofSide(side, func(a *App) { a.Ping, a.Pong = "ping", pattern(t, "pong *") }))
			to, from := st.way(side)
			for range 3 {
				st.pass(10 * time.Second)
				to.wants("due, and without a deadline before the first answer", wire.Text("ping"))
			}
			to.sends(wire.Text("pong 1"))
			from.wantsNothing("it is the answer to ours")
			st.pass(10 * time.Second)
			to.wants("due", wire.Text("ping"))
			st.pass(19 * time.Second)
			to.sends(wire.Pong("anything"))
			to.wantsNothing("a pong is no sign of the application")
			from.wantsNothing("the deadline is not over")
			st.pass(time.Second)
			to.wants("told", wire.Close(1011, "application heartbeat timeout"))
			to.wantsEnd("closed at once")
			from.wants("told", wire.Close(told[side], side.String()+" application heartbeat timeout"))
			from.hangsUp()
			st.dropped(side, metrics.PingTimeout)
			if !strings.Contains(st.log.String(), `detail="application heartbeat timeout"`) {
				t.Errorf("the log does not say which heartbeat was missed: %s", st.log.String())
			}
		})
	}
}

func TestWhatSettlesAnApplicationsDeadline(t *testing.T) {
	for name, test := range map[string]struct {
		sends []wire.Frame
		lives bool
	}{
		"its answer":             {[]wire.Frame{wire.Text("pong")}, true},
		"data":                   {[]wire.Frame{wire.Binary("data")}, true},
		"a part of a message":    {[]wire.Frame{wire.Binary("data").More()}, true},
		"a heartbeat of its own": {[]wire.Frame{wire.Text("hello?")}, true},
		"a pong":                 {[]wire.Frame{wire.Pong("")}, false},
		"a ping":                 {[]wire.Frame{wire.Ping("")}, false},
		"the beginning of what may be its answer": {[]wire.Frame{wire.Text("po").More()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			st := appStage(t, ofSide(client, func(a *App) {
				a.Ping, a.Pong, a.Answers = "ping", pattern(t, "pong"), answers(t, "hello?=>")
			}))
			c, u := st.session(false)
			st.pass(10 * time.Second)
			c.wants("due", wire.Text("ping"))
			c.sends(wire.Text("pong"))
			st.pass(10 * time.Second)
			c.wants("due", wire.Text("ping"))
			st.pass(15 * time.Second)
			c.sends(test.sends...)
			u.read()
			st.pass(6 * time.Second)
			if test.lives {
				c.wants("it lives", wire.Text("ping"))
				return
			}
			c.read()
			if got := c.frames(); len(got) == 0 || got[len(got)-1] != wire.Close(1011, "application heartbeat timeout") {
				t.Errorf("the client got %v, want it to be dropped", got)
			}
		})
	}
}

// The deadline of pings and that of the application are independent.
func TestApplicationIsWatchedWithoutPongs(t *testing.T) {
	st := newStage(t, func(c *Config) {
		c.Client.Pong, c.Client.Liveness = heartbeat.IgnorePong, heartbeat.OnlyPong
		c.UpstreamSide.Interval = 0
		c.ClientApp = App{Ping: "ping", Interval: 30 * time.Second, Pong: pattern(t, "pong")}
	})
	c, _ := st.session(false)
	st.pass(30 * time.Second)
	c.read()
	c.frames()
	c.sends(wire.Text("pong"))
	st.pass(30 * time.Second)
	c.read()
	c.frames()
	st.pass(20 * time.Second)
	c.read()
	if got := c.frames(); len(got) == 0 || got[len(got)-1] != wire.Close(1011, "application heartbeat timeout") {
		t.Errorf("the client got %v, want it to be dropped", got)
	}
	st.counts(map[string]float64{"app_pongs_received_total{client}": 1})
}

// What one session learns of an upstream holds for the others.
func TestUpstreamsApplicationIsLearntForAllSessions(t *testing.T) {
	st := appStage(t, ofSide(upstream, func(a *App) { a.Ping, a.Pong = "ping", pattern(t, "pong") }))
	_, u := st.session(false)
	st.pass(10 * time.Second)
	u.wants("due", wire.Text("ping"))
	u.sends(wire.Text("pong"))
	c, other := st.session(false)
	st.pass(10 * time.Second)
	u.wants("due", wire.Text("ping"))
	u.sends(wire.Text("pong"))
	other.wants("due", wire.Text("ping"))
	st.pass(20 * time.Second)
	c.wants("its upstream can answer", wire.Close(1012, "upstream application heartbeat timeout"))
}

func TestUnaskedAnswerPasses(t *testing.T) {
	st := appStage(t, ofSide(client, func(a *App) { a.Ping, a.Pong = "ping", pattern(t, "pong") }))
	c, u := st.session(false)
	c.sends(wire.Text("pong"))
	u.wants("nobody asked", wire.Text("pong"))
	for range 2 {
		st.pass(10 * time.Second)
		c.wants("due", wire.Text("ping"))
	}
	c.sends(wire.Text("pong"), wire.Text("pong"), wire.Text("pong"))
	u.wants("two answer our pings", wire.Text("pong"))
	st.counts(map[string]float64{
		"app_pongs_received_total{client}": 2,
		"app_ping_rtt_seconds{client}":     0, // which ping the first one answers is not known
		"frames_total{text,client}":        4,
		"app_pings_answered_total{client}": 0,
	})
}

func TestPeersApplicationIsAnswered(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := appStage(t, ofSide(side, func(a *App) {
				a.Answers = answers(t, `{"type":"ping","id":*}=>{"type":"pong","id":*};;\n=>\n;;quiet=>`)
			}))
			from, to := st.way(side)
			from.sends(wire.Text(`{"type":"ping","id":7}`))
			from.wants("answered here", wire.Text(`{"type":"pong","id":7}`))
			from.sends(wire.Text("\n"), wire.Text("quiet"), wire.Text("data"), wire.Text(`{"type":"ping","id":"x"}`), wire.Text(`{"type":"ping"}`))
			from.wants("each one, in order", wire.Text("\n"), wire.Text(`{"type":"pong","id":"x"}`))
			to.wants("the rest", wire.Text("data"), wire.Text(`{"type":"ping"}`))
			to.sends(wire.Text("\n"), wire.Text("quiet"))
			from.wants("the other peer has no such rule", wire.Text("\n"), wire.Text("quiet"))
			st.counts(map[string]float64{
				fmt.Sprintf("app_pings_answered_total{%v}", side): 3,
				fmt.Sprintf("frames_total{text,%v}", side):        6,
			})
		})
	}
}

// An answer does not stand inside a message of the other peer.
func TestAnswerWaitsForTheEndOfAMessage(t *testing.T) {
	st := appStage(t, ofSide(client, func(a *App) { a.Answers = answers(t, "ping=>pong") }))
	c, u := st.session(false)
	begins(u, c)
	c.sends(wire.Text("ping"), wire.Text("ping"))
	c.wantsNothing("the other peer's message is not over")
	u.wantsNothing("answered here")
	u.sends(wire.Continuation("end"))
	c.wants("behind it", wire.Continuation("end"), wire.Text("pong"), wire.Text("pong"))
}

// An answer that still waits when the session ends is not sent, and not counted.
func TestAnswerCountsWhenItIsSent(t *testing.T) {
	st := appStage(t, ofSide(client, func(a *App) { a.Answers = answers(t, "ping=>pong") }))
	c, u := st.session(false)
	c.sends(wire.Text("ping"), wire.Text("ping"))
	c.wants("answered", wire.Text("pong"), wire.Text("pong"))
	begins(u, c)
	c.sends(wire.Text("ping"), wire.Close(1000, ""))
	u.wants("no answer is waited for", wire.Close(1000, ""))
	u.sends(wire.Continuation("end"), wire.Close(1000, ""))
	c.wants("no answer", wire.Continuation("end"), wire.Close(1000, ""))
	st.counts(map[string]float64{"app_pings_answered_total{client}": 2})
}

// One read can bring more questions than there is room for answers that wait.
func TestPeerThatReadsGetsAllAnswers(t *testing.T) {
	for _, side := range sides {
		t.Run(side.String(), func(t *testing.T) {
			st := appStage(t, ofSide(side, func(a *App) { a.Answers = answers(t, "ping*=>pong*") }))
			from, to := st.way(side)
			var asked, wanted []wire.Frame
			for i := range 100 {
				rest := fmt.Sprint(i, strings.Repeat("x", 90))
				asked, wanted = append(asked, wire.Text("ping"+rest)), append(wanted, wire.Text("pong"+rest))
			}
			from.sends(asked...)
			from.wants("each one, in order", wanted...)
			to.wantsNothing("all were answered here")
			st.counts(map[string]float64{fmt.Sprintf("app_pings_answered_total{%v}", side): 100})
		})
	}
}

// Control frames do not wait for a message that is held back. They keep their order, and stay
// where they are behind the fragment with which the message matches no rule.
func TestControlFramesBetweenHeldFragments(t *testing.T) {
	st := newStage(t, func(c *Config) {
		c.PeerPings = ForwardPings
		c.ClientApp.Answers = answers(t, "ping=>pong")
	})
	c, u := st.session(false)
	c.sends(wire.Text("p").More(), wire.Ping("1"), wire.Continuation("i").More(), wire.Pong("2"), wire.Ping("3"))
	u.wants("at once", wire.Ping("1"), wire.Pong("2"), wire.Ping("3"))
	c.sends(wire.Continuation("n").More(), wire.Ping("4"), wire.Continuation("k").More(), wire.Ping("5"), wire.Continuation(""))
	u.wants("it matches nothing from its last letter on", wire.Ping("4"),
		wire.Text("p").More(), wire.Continuation("i").More(), wire.Continuation("n").More(), wire.Continuation("k").More(),
		wire.Ping("5"), wire.Continuation(""))
	c.sends(wire.Text("pi").More(), wire.Ping("6"), wire.Continuation("").More(), wire.Close(1000, ""), wire.Continuation("ng"))
	u.wants("nothing behind the Close", wire.Ping("6"), wire.Close(1000, ""))
}

// A peer that asks and reads nothing gets no more than some answers.
func TestAnswersThatWaitAreBounded(t *testing.T) {
	st := appStage(t, ofSide(client, func(a *App) { a.Answers = answers(t, "ping=>"+strings.Repeat("x", 1000)) }))
	c, u := st.session(false)
	begins(u, c)
	for range 100 {
		c.sends(wire.Text("ping"))
	}
	u.wantsNothing("swallowed all the same")
	u.sends(wire.Continuation("end"))
	c.read()
	if got := c.frames(); len(got) != 1+5 {
		t.Errorf("the client got %d answers, want the first five", len(got)-1)
	}
}

// messages are texts that the rules of TestMessagesCutAnywhere are about, and others.
var messages = []wire.Frame{
	wire.Text("ping"), wire.Text("pin"), wire.Text("pingg"), wire.Text(""),
	wire.Text("pi").More(), wire.Continuation("ng"),
	wire.Text("").More(), wire.Ping("a"), wire.Continuation("ping").More(), wire.Continuation(""),
	wire.Text("pi").More(), wire.Ping("b"), wire.Continuation("nx"),
	wire.Text("id 17").More(), wire.Continuation(" end"),
	wire.Text("id é end"), wire.Text("id \xc3").More(), wire.Continuation("\xa9 end"), wire.Text("id \xc3 end"),
	wire.Binary("ping"), wire.Binary("pi").More(), wire.Continuation("ng"),
	wire.Text("id " + strings.Repeat("x", 1000) + " end"),
	wire.Text("id " + strings.Repeat("x", 1100) + " end"),
	wire.Text("id ").More(), wire.Continuation(strings.Repeat("y", 500)).More(), wire.Ping("c"), wire.Continuation(strings.Repeat("y", 600)).More(), wire.Continuation(" end"),
	wire.Text("ping"),
}

func TestMessagesCutAnywhere(t *testing.T) {
	passed := []wire.Frame{
		wire.Text("pin"), wire.Text("pingg"), wire.Text(""),
		wire.Text("pi").More(), wire.Continuation("nx"),
		wire.Text("id \xc3 end"),
		wire.Binary("ping"), wire.Binary("pi").More(), wire.Continuation("ng"),
		wire.Text("id " + strings.Repeat("x", 1100) + " end"),
		wire.Text("id ").More(), wire.Continuation(strings.Repeat("y", 500)).More(), wire.Continuation(strings.Repeat("y", 600)).More(), wire.Continuation(" end"),
	}
	answered := []wire.Frame{
		wire.Text("pong"), wire.Text("pong"), wire.Text("pong"), wire.Text("<17>"), wire.Text("<é>"), wire.Text("<é>"),
		wire.Text("<" + strings.Repeat("x", 1000) + ">"), wire.Text("pong"),
	}
	for _, side := range sides {
		stream := wire.Encode(side == client, messages...)
		cuts := []int{1, 2, 3, 7, 64, 1031, len(stream)}
		for cut := range len(stream) {
			if cut < 220 || cut%37 == 0 {
				cuts = append(cuts, -cut) // once, behind so many bytes
			}
		}
		for _, cut := range cuts {
			st := appStage(t, ofSide(side, func(a *App) { a.Answers = answers(t, "ping=>pong;;id * end=><*>") }))
			from, to := st.way(side)
			for rest := stream; len(rest) > 0; {
				n := min(max(cut, -cut), len(rest))
				if cut <= 0 && len(rest) < len(stream) {
					n = len(rest)
				}
				from.sendsBytes(rest[:n])
				rest = rest[n:]
				if n == 0 {
					cut = len(rest)
				}
			}
			to.read()
			if got := to.frames(); fmt.Sprint(got) != fmt.Sprint(passed) {
				t.Fatalf("%v, cut at %d: passed %v, want %v", side, cut, got, passed)
			}
			from.read()
			got := wire.DataFrames(from.frames())
			if fmt.Sprint(got) != fmt.Sprint(answered) {
				t.Fatalf("%v, cut at %d: answered %v, want %v", side, cut, got, answered)
			}
		}
	}
}

// A message passes at once when it cannot match any more, however slowly it comes.
func TestMessageIsHeldBackNoLongerThanNeeded(t *testing.T) {
	st := appStage(t, ofSide(client, func(a *App) { a.Answers = answers(t, "ping=>pong") }))
	c, u := st.session(false)
	for _, text := range []string{"pinx and more", strings.Repeat("x", 100)} {
		stream := wire.Encode(true, wire.Text(text))
		for i := range stream {
			c.sendsBytes(stream[i : i+1])
			u.read()
			if i >= 6+4 && len(u.got) != i+1 {
				t.Fatalf("%q: %d bytes have passed of %d", text, len(u.got), i+1)
			}
		}
		u.wants("all of it", wire.Text(text))
	}
}

// A pong can come between the fragments that are held back, so a peer that sends something else
// there does not gain time for it.
func TestHeldFragmentsDoNotPutAPongOff(t *testing.T) {
	for name, held := range map[string][]wire.Frame{
		"nothing":       {wire.Text("data")},
		"one fragment":  {wire.Text("pi").More()},
		"two fragments": {wire.Text("pi").More(), wire.Continuation("").More()},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, func(c *Config) {
				c.Client.Pong, c.Client.Liveness = heartbeat.RequirePong, heartbeat.OnlyPong
				c.UpstreamSide.Interval = 0
				c.ClientApp.Answers = answers(t, "ping=>pong")
			})
			c, u := st.session(false)
			c.sends(held...)
			st.pass(20 * time.Second)
			c.wantsPing("due")
			for range 19 {
				st.pass(time.Second)
				c.sends(wire.Ping("its own"))
				c.wants("answered", wire.Pong("its own"))
			}
			u.read()
			u.frames()
			st.pass(2 * time.Second)
			u.wants("the ping has no answer", wire.Close(1001, "client keepalive ping timeout"))
		})
	}
}

// What is held back is not a message yet.
func TestHeldFragmentsAreDroppedAtTheEnd(t *testing.T) {
	for name, ends := range map[string]func(c, u *peer){
		"by a Close": func(c, u *peer) {
			c.sends(wire.Close(1000, "bye"))
			u.wants("its Close", wire.Close(1000, "bye"))
		},
		"of its TCP": func(c, u *peer) {
			c.hangsUp()
			u.wants("told at once", wire.Close(1001, "client connection lost"))
		},
		"by a broken frame": func(c, u *peer) {
			c.sends(wire.Text("inside"))
			u.wants("told at once", wire.Close(1001, "client protocol error"))
		},
		"of the session": func(c, u *peer) {
			c.st.pass(time.Hour)
			u.wants("told at once", wire.Close(1001, "client keepalive ping timeout"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, func(c *Config) {
				c.ClientApp.Answers = answers(t, "ping=>pong")
				c.UpstreamSide.Interval = 0
			})
			c, u := st.session(false)
			c.sends(wire.Text("pi").More(), wire.Continuation("n").More())
			u.wantsNothing("it may become a heartbeat")
			ends(c, u)
		})
	}
}

func TestNoAnswerAfterAClose(t *testing.T) {
	st := appStage(t, func(c, u *App) {
		c.Answers, c.Ping = answers(t, "ping=>pong"), "beat"
	})
	c, u := st.session(false)
	u.sends(wire.Close(1000, "bye"))
	c.sends(wire.Text("ping"), wire.Text("data"))
	st.pass(5 * time.Second)
	c.wants("nothing behind the Close", wire.Close(1000, "bye"))
	u.wants("what is not for the proxy", wire.Text("data"))
	c.sends(wire.Close(1000, "bye"))
	u.wants("its answer", wire.Close(1000, "bye"))
	u.hangsUp()
	c.hangsUp()
	st.closed(upstream)
}

// A ping of the application that the socket takes in two parts is sent when its last byte
// is.
func TestApplicationPingBehindAFullSocket(t *testing.T) {
	st := newStage(t, func(c *Config) {
		c.UpstreamSide.Interval, c.Client.Interval = 0, 0
		c.WriteTimeout = time.Hour
		c.ClientApp = App{Ping: strings.Repeat("p", 1000), Interval: 10 * time.Second}
	})
	c, u := st.session(false)
	for st.l.session(c).legs[client].tail == nil {
		u.sends(wire.Binary(strings.Repeat("d", 1000)))
	}
	st.pass(time.Minute)
	st.counts(map[string]float64{"app_pings_sent_total{client}": 0})
	st.drains(c)
	st.counts(map[string]float64{"app_pings_sent_total{client}": 1})
	got := c.frames()
	if last := got[len(got)-1]; last.Op != ws.OpText || len(last.Payload) != 1000 {
		t.Errorf("the last frame is %v, want the ping", last)
	}
}
