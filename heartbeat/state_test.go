package heartbeat

import (
	"math"
	"testing"
	"time"
	"unsafe"
)

var (
	anyByte  = Rules{Interval: 20 * time.Second, Timeout: 20 * time.Second, Liveness: AnyByte}
	onlyPong = Rules{Interval: 20 * time.Second, Timeout: 20 * time.Second, Liveness: OnlyPong}
)

// with returns a copy of rules with a change.
func with(rules Rules, change func(*Rules)) Rules {
	change(&rules)
	return rules
}

func TestAPingAndItsPong(t *testing.T) {
	c := opened(t, anyByte)
	c.next("20s", "the first ping is due one interval after opening")
	c.at("20s").wantsPing("the interval is over").sends(1)
	c.next("40s", "now the deadline runs")
	c.at("20.05s").pong(1, "50ms", "the echo closes the round trip")
	c.next("40s", "the next ping is due one interval after the last was sent, not answered")
	c.at("40s").wantsPing("and so on").sends(2)
	c.at("60s").expires("nothing came")
}

func TestTheFirstPingIsEarlyByJitterOnly(t *testing.T) {
	for _, tt := range []struct {
		jitter, phase float64
		want          string
	}{
		{0.1, 0, "20s"},
		{0.1, 0.5, "19s"},
		{0.1, 1, "18s"},
		{1, 1, "0s"},
		{0, 1, "20s"},
		{-1, 1, "20s"}, // never later
		{2, 1, "0s"},   // never before opening
		{math.NaN(), 1, "20s"},
	} {
		rules := with(anyByte, func(r *Rules) { r.Jitter = tt.jitter })
		var s State
		s.Open(&rules, Time(time.Hour), tt.phase)
		if got, want := s.Next().Sub(Time(time.Hour)), duration(t, tt.want); got != want {
			t.Errorf("jitter %v, phase %v: first ping after %v, want %v", tt.jitter, tt.phase, got, want)
		}
	}
}

func TestJitterShiftsOnlyTheFirstPing(t *testing.T) {
	c := &conversation{t: t, rules: with(anyByte, func(r *Rules) { r.Jitter = 0.1 })}
	c.state.Open(&c.rules, 0, 1)
	c.at("18s").wantsPing("the whole jitter").sends(1)
	c.at("18.1s").pong(1, "100ms", "answered")
	c.next("38s", "a whole interval after the last")
}

func TestNothingRunsWhileAPingWaitsToBeSent(t *testing.T) {
	c := opened(t, anyByte)
	c.at("20s").wantsPing("it is due")
	if !c.state.Wanted() {
		t.Error("not wanted after Ping")
	}
	c.next("never", "its leg is blocked or mid-frame: there is no deadline of its own")
	c.at("15m").wants(None, "it has been said")
	if got := c.state.Due(); got != instant(t, "20s") {
		t.Errorf("due at %v, want the moment it fell due, for the lag", time.Duration(got))
	}
	c.sends(1)
	if c.state.Wanted() {
		t.Error("still wanted after Sent")
	}
	c.next("15m20s", "the deadline runs from the moment the ping left")
	c.at("15m1s").pong(1, "1s", "and so does the round trip")
	c.next("15m20s", "and so does the interval")
}

func TestSentWithoutAWantedPingIsNothing(t *testing.T) {
	c := opened(t, anyByte)
	c.at("10s").sends(1).next("20s", "none was wanted yet")
	c.foreignPong(AppendPayload(nil, 1), "it is not remembered")
	c.at("20s").wantsPing("the first").sends(2)
	c.at("21s").sends(3).next("40s", "the deadline of the one that was wanted")
}

func TestWithADeadlineOnePingIsOut(t *testing.T) {
	slow := with(onlyPong, func(r *Rules) { r.Timeout = 50 * time.Second })

	t.Run("answered late", func(t *testing.T) {
		c := opened(t, slow)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("40s").wants(None, "no second ping beside one with a deadline")
		c.next("1m10s", "only the deadline is left")
		c.at("65s").pong(1, "45s", "late but in time")
		c.next("65s", "the interval is long over: due at once")
		c.wantsPing("at the answer, not before")
	})
	t.Run("not answered", func(t *testing.T) {
		c := opened(t, slow)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("1m10s").expires("the timeout is over")
	})
}

func TestWithoutADeadlinePingsGoOn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules Rules
	}{
		{"Timeout 0", with(onlyPong, func(r *Rules) { r.Timeout = 0 })},
		{"IgnorePong", with(onlyPong, func(r *Rules) { r.Pong = IgnorePong })},
		{"LearnPong, nothing learnt", with(onlyPong, func(r *Rules) { r.Pong = LearnPong })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := opened(t, tt.rules)
			c.at("20s").wantsPing("the first").sendsUnarmed(1)
			c.next("40s", "the next, regardless")
			c.at("40s").wantsPing("not answered").sendsUnarmed(2)
			c.at("45s").pong(2, "5s", "measured")
			c.next("60s", "an answer does not move the next ping")
			c.at("60s").wantsPing("answered").sendsUnarmed(3)
			c.at("80s").wantsPing("for as long as it takes")
		})
	}
}

func TestTheLastFourPingsAreRemembered(t *testing.T) {
	rules := with(onlyPong, func(r *Rules) { r.Timeout = 0 })
	five := func(t *testing.T) *conversation {
		c := opened(t, rules)
		c.at("20s").wants(Ping, "1st").sends(1)
		c.at("40s").wants(Ping, "2nd").sends(2)
		c.at("60s").wants(Ping, "3rd").sends(3)
		c.at("80s").wants(Ping, "4th").sends(4)
		c.at("100s").wants(Ping, "5th").sends(5)
		return c.at("101s")
	}
	t.Run("each in turn", func(t *testing.T) {
		c := five(t)
		c.foreignPong(AppendPayload(nil, 1), "the fifth made us forget the first")
		c.pong(2, "61s", "the oldest remembered")
		c.pong(3, "41s", "in order")
		c.pong(4, "21s", "in order")
		c.pong(5, "1s", "the latest")
	})
	t.Run("the latest answers all", func(t *testing.T) {
		c := five(t).pong(5, "1s", "a peer may answer only the latest ping")
		for p := range uint64(5) {
			c.foreignPong(AppendPayload(nil, p+1), "all are answered")
		}
	})
	t.Run("one between answers those before it", func(t *testing.T) {
		c := five(t).pong(3, "41s", "not the oldest")
		c.foreignPong(AppendPayload(nil, 2), "answered with the third")
		c.foreignPong(AppendPayload(nil, 3), "answered before")
		c.pong(4, "21s", "later ones are not")
	})
}

func TestAForeignPongIsNothing(t *testing.T) {
	c := opened(t, onlyPong)
	c.at("10s").foreignPong(AppendPayload(nil, 0), "none of ours is out")
	c.at("20s").wantsPing("the first").sends(0x0102030405060708)
	c.at("21s")
	echo := AppendPayload(nil, 0x0102030405060708)
	c.foreignPong(nil, "empty")
	c.foreignPong(echo[:7], "too short")
	c.foreignPong(append(echo[:8:8], 'A'), "too long")
	c.foreignPong(AppendPayload(nil, 0x0102030405060709), "another payload")
	c.next("40s", "the deadline runs on")
	c.pong(0x0102030405060708, "1s", "the echo")
	c.foreignPong(echo, "the same echo again")
	if rtt, _ := c.state.RTT(); rtt != time.Second {
		t.Errorf("last round trip %v, want that of the echo", rtt)
	}
}

func TestPayloadIsPrintable(t *testing.T) {
	for _, p := range []uint64{0, 1, 0xff, 1 << 47, math.MaxUint64, 0x0102030405060708} {
		for _, c := range AppendPayload(nil, p) {
			if c <= ' ' || c > '~' {
				t.Errorf("payload of %#x has the byte %#x", p, c)
			}
		}
	}
	if got := string(AppendPayload([]byte("before "), 0xffff_0000_0000_0001)); got != "before AAAAAAAB" {
		t.Errorf("appended %q, want 8 characters for the low 48 bits", got)
	}
}

// uWSGI answers each ping with an empty pong, others with a part of the payload.
func TestAPongThatIsNotAnEcho(t *testing.T) {
	ping := func(t *testing.T, rules Rules) *conversation {
		return opened(t, rules).at("20s").wantsPing("the first").sends(1)
	}
	t.Run("answers the latest ping", func(t *testing.T) {
		c := ping(t, anyByte)
		c.at("21s").otherPong("", "1s", "empty").next("40s", "the next ping, and no deadline")
		c.at("40s").wantsPing("the second").sends(2)
		c.at("42s").otherPong("AAAA", "2s", "cut").next("60s", "and so on")
		if c.state.earlier != nil {
			t.Error("an answered ping is still remembered: it costs memory")
		}
	})
	t.Run("answers it once", func(t *testing.T) {
		c := ping(t, anyByte)
		c.at("21s").otherPong("", "1s", "the answer")
		c.at("22s").foreignPong(nil, "a one-way heartbeat (RFC 6455 5.5.3)")
	})
	t.Run("answers all earlier pings", func(t *testing.T) {
		c := opened(t, with(anyByte, func(r *Rules) { r.Timeout = 0 }))
		c.at("20s").wantsPing("the first").sends(1)
		c.at("40s").wantsPing("the second").sends(2)
		c.at("41s").otherPong("x", "1s", "the latest").foreignPong(nil, "nothing is left to be answered")
	})
	t.Run("answers nothing when none is out", func(t *testing.T) {
		c := opened(t, anyByte).at("10s").foreignPong(nil, "there was no ping")
		c.at("20s").wantsPing("the first").foreignPong(nil, "it is due, and not sent")
	})
	t.Run("answers nothing from before the ping", func(t *testing.T) {
		c := ping(t, anyByte).at("21s").earlyPong("", "it lay unread when the ping left")
		c.next("40s", "the deadline runs on").otherPong("", "1s", "this one follows the ping")
	})
	t.Run("answers nothing if only an echo counts", func(t *testing.T) {
		c := ping(t, onlyPong).at("21s").foreignPong(nil, "empty")
		c.at("40s").expires("nothing came that counts")
	})
	t.Run("answers nothing of a peer that echoes", func(t *testing.T) {
		c := ping(t, anyByte).at("21s").pong(1, "1s", "an echo")
		c.at("40s").wantsPing("the second").sends(2)
		c.at("41s").foreignPong(nil, "a one-way heartbeat").at("42s").pong(2, "2s", "the answer")
	})
	t.Run("and then the echo", func(t *testing.T) {
		c := ping(t, anyByte).at("21s").otherPong("mine", "1s", "taken for the answer")
		c.at("23s")
		want := Answer{Echo: true, Took: duration(t, "3s")}
		if got := c.state.Pong(&c.rules, c.now, AppendPayload(nil, 1), false); got != want {
			t.Errorf("the echo is %+v, want %+v: ours, and counted before", got, want)
		}
		if rtt, _ := c.state.RTT(); rtt != duration(t, "3s") {
			t.Errorf("last round trip %v, want the echo's", rtt)
		}
		c.foreignPong(nil, "it is known to echo")
	})
	t.Run("is not measured if it lay unread", func(t *testing.T) {
		c := ping(t, anyByte).at("21s").pauses()
		c.at("25s").resumes()
		if got := c.state.Pong(&c.rules, c.now, nil, false); !got.Counts || got.Measured {
			t.Errorf("%+v, want an answer that is not measured", got)
		}
	})
	t.Run("is remembered by another process", func(t *testing.T) {
		c := ping(t, anyByte).at("21s").otherPong("", "1s", "the answer").handedOver()
		c.foreignPong(nil, "it was answered").at("40s").wantsPing("the second").sends(2)
		c.at("41s").pong(2, "1s", "an echo").handedOver().at("60s").wantsPing("the third").sends(3)
		c.at("61s").foreignPong(nil, "it echoes")
	})
}

// RFC 6455, section 5.4, lets control frames in between fragments, but some peers lose
// the fragments before one.
func TestRepliesToPings(t *testing.T) {
	c := opened(t, anyByte)
	c.foreignReply("nothing was asked")
	c.at("20s").wantsPing("due").sends(0)
	c.at("21s").reply("1s", "the only ping")
	c.foreignReply("the ping has its answer")
	c.next("40s", "one interval after the last ping")
	c.at("40s").wantsPing("due").sends(0)
	c.at("60s").expires("a reply is owed as a pong is")
}

func TestRepliesToPingsWithoutADeadline(t *testing.T) {
	c := opened(t, with(anyByte, func(r *Rules) { r.Pong = LearnPong }))
	for _, at := range []string{"20s", "40s", "60s"} {
		c.at(at).wantsPing("due").sendsUnarmed(0)
	}
	c.at("61s").reply("", "which ping it answers is not known")
	c.reply("", "to another one")
	c.at("80s").wantsPing("due").sends(0)
	c.at("81s").reply("1s", "the ping before had its reply")
	c.reply("", "the one that was left out comes late")
	c.foreignReply("there is one for each")
	c.at("100s").wantsPing("due").sends(0)
	c.at("102s").reply("2s", "the only one")
}

// A ping that a program leaves out does not end the measuring.
func TestRepliesAfterOneThatWasLeftOut(t *testing.T) {
	c := opened(t, with(anyByte, func(r *Rules) { r.Pong = LearnPong }))
	c.at("20s").wantsPing("due").sendsUnarmed(0)
	c.at("40s").wantsPing("due").sendsUnarmed(0)
	c.at("41s").reply("", "which ping it answers is not known")
	c.at("60s").wantsPing("due").sends(0)
	c.at("63s").reply("3s", "the ping before had its reply")
	c.at("80s").wantsPing("due").sends(0)
	c.at("81s").reply("1s", "so had this one")
	c.reply("", "the one that was left out may still come")
	c.foreignReply("there is one for each")
}

func TestAPingWaitsForTheEndOfAMessage(t *testing.T) {
	t.Run("for a quarter of its interval", func(t *testing.T) {
		c := opened(t, anyByte).at("20s").wantsPing("due").defers().next("25s", "it may wait so long")
		if !c.state.Wanted() || c.state.Presses() {
			t.Error("a deferred ping is wanted, and does not press")
		}
		c.at("25s").wantsPing("it has waited").next("never", "the end of a frame is awaited")
		if !c.state.Wanted() || !c.state.Presses() {
			t.Error("a ping that has waited is wanted, and presses")
		}
		if got := c.state.Due(); got != instant(t, "25s") {
			t.Errorf("due at %v, want the end of its wait, for the lag", time.Duration(got))
		}
		c.defers().next("never", "it has waited once").handedOver()
		c.at("26s").sends(1).next("46s", "a whole timeout from its leaving")
	})
	t.Run("which ends in time", func(t *testing.T) {
		c := opened(t, anyByte).at("20s").wantsPing("due").defers().handedOver()
		c.at("22s").sends(1).next("42s", "a whole timeout from its leaving")
		c.at("23s").pong(1, "1s", "answered").next("42s", "an interval from its leaving")
	})
	t.Run("which the loop saw late", func(t *testing.T) {
		c := opened(t, anyByte).at("1h").wants(Ping, "long due").defers()
		c.wants(Ping, "it has waited long enough").wants(None, "once")
	})
	t.Run("but nothing waits after a stop", func(t *testing.T) {
		c := opened(t, anyByte).at("20s").wantsPing("due").defers().stops().next("never", "stopped")
		c.defers().next("never", "nothing is wanted")
	})
}

func TestAnyByteProvesLife(t *testing.T) {
	t.Run("and ends the deadline", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("39s").hears().next("40s", "no deadline any more: the next ping")
		c.at("40s").wants(Ping, "and not Expired")
	})
	t.Run("inside a frame as well", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("39s").hearsMidFrame()
		c.at("40s").wants(Ping, "a byte is a byte")
	})
	t.Run("but only after the ping left", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("19s").hears()
		c.at("20s").wantsPing("the first")
		c.at("21s").hears().sends(1)
		c.at("41s").expires("silent since the ping left")
	})
	t.Run("the next ping waits for it", func(t *testing.T) {
		c := opened(t, with(anyByte, func(r *Rules) { r.Timeout = time.Minute }))
		c.at("20s").wantsPing("the first").sends(1)
		c.at("70s").hears().next("70s", "the interval is over: due at the moment heard")
	})
	t.Run("the echo is still measured", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("30s").hears()
		c.at("35s").pong(1, "15s", "behind other bytes")
		c.next("40s", "as before")
	})
	t.Run("even after the next ping", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("30s").hears()
		c.at("40s").wantsPing("the second").sends(2)
		c.at("41s").pong(1, "21s", "the first one's echo")
		c.at("42s").pong(2, "2s", "the second one's echo")
	})
}

func TestOnlyThePongProvesLife(t *testing.T) {
	t.Run("other bytes do not", func(t *testing.T) {
		c := opened(t, onlyPong)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("39s").hears()
		c.at("40s").expires("whole frames, but no echo")
	})
	t.Run("an earlier ping's echo does not", func(t *testing.T) {
		c := opened(t, with(onlyPong, func(r *Rules) { r.Pong = LearnPong }))
		c.at("20s").wantsPing("the first").sendsUnarmed(1)
		c.at("40s").wantsPing("the second, and another session has learnt").sends(2)
		c.at("41s").pong(1, "21s", "ours, and measured")
		c.at("60s").expires("but it does not answer the second")
	})
}

func TestInsideAFrameAPeerCannotPong(t *testing.T) {
	c := opened(t, onlyPong)
	c.at("20s").wantsPing("the first").sends(1)
	c.at("30s").hearsMidFrame().next("50s", "progress puts the deadline off")
	c.at("49s").hearsMidFrame().next("1m9s", "and again; the frame ends here")
	c.at("60s").hears().next("1m9s", "the next whole frame does not")
	c.at("1m9s").expires("a whole timeout after the frame's end")
}

func TestAFrameThatStandsStillExpires(t *testing.T) {
	for _, rules := range []Rules{anyByte, onlyPong} {
		c := opened(t, rules)
		c.at("19s").hearsMidFrame()
		c.at("20s").wantsPing("the first").sends(1)
		c.at("40s").expires("no progress")
	}
}

func TestWhilePausedTheDeadlineStandsStill(t *testing.T) {
	t.Run("and then starts whole", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("39s").pauses().next("never", "the answer may lie unread")
		if c.state.Overdue(Never) || c.state.Advance(Never, Never) != None {
			t.Error("expired at the end of time")
		}
		c.at("1h").wants(None, "however long").resumes()
		c.next("1h20s", "a whole timeout")
		c.at("1h20s").expires("read, and nothing came")
	})
	t.Run("progress does not start it", func(t *testing.T) {
		c := opened(t, onlyPong)
		c.at("20s").wantsPing("the first").sends(1).pauses()
		c.at("21s").hearsMidFrame().next("never", "what was read before the pause")
	})
	t.Run("an answer read before ends it", func(t *testing.T) {
		c := opened(t, onlyPong)
		c.at("20s").wantsPing("the first").sends(1).pauses()
		c.at("21s").unmeasuredPong(1, "from the last read")
		c.at("22s").resumes().next("40s", "nothing is owed")
	})
	t.Run("pings go on", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("10s").pauses()
		c.at("20s").wantsPing("due while paused").sends(1)
		c.next("never", "no deadline yet")
		c.at("60s").resumes().next("80s", "now it runs")
		c.at("61s").unmeasuredPong(1, "who knows how long it lay unread")
		c.next("61s", "the next is overdue")
	})
	t.Run("without one nothing starts", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("10s").pauses()
		c.at("15s").resumes().next("20s", "the first ping")
		c.at("20s").wantsPing("the first").pauses()
		c.at("25s").resumes().next("never", "wanted, not sent")
	})
	t.Run("it held nothing up", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("25s").pauses().at("29s").resumesToNothing().next("40s", "nothing lay unread")
		c.at("31s").pauses().next("never", "again").at("45s").resumesToNothing()
		c.next("40s", "it has come meanwhile")
	})
	t.Run("what came before it may have held the pong up", func(t *testing.T) {
		c := opened(t, onlyPong)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("25s").hears().pauses().at("29s").resumesToNothing().next("49s", "the pong may be under way behind what was read")
		c.at("30s").pauses().at("31s").resumesToNothing().next("49s", "nothing has come since")
	})
	t.Run("resuming twice is resuming once", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("30s").resumes().next("40s", "was not paused")
	})
}

// A ping may stand behind megabytes in our kernel when it is sent, and its peer
// cannot answer what it has not got.
func TestAnAnswerIsOwedOnceThePingHasArrived(t *testing.T) {
	arrived := func(moment string) Delivery { return Delivery{Arrived: true, Moved: instant(t, moment)} }
	moved := func(moment string) Delivery { return Delivery{Moved: instant(t, moment)} }
	sent := func(t *testing.T) *conversation {
		return opened(t, onlyPong).at("20s").wantsPing("the first").sends(1)
	}
	t.Run("at once", func(t *testing.T) {
		c := sent(t)
		c.at("30s").looks(arrived("20.1s"), None, "half of the timeout is over")
		c.at("40s").expires("the deadline stands")
	})
	t.Run("in time, but late", func(t *testing.T) {
		c := sent(t)
		c.at("30s").looks(arrived("29.9s"), None, "other bytes may have moved since it arrived")
		c.at("40s").expires("the deadline stands")
	})
	t.Run("after the first look", func(t *testing.T) {
		c := sent(t)
		c.at("30s").looks(moved("30s"), None, "the queue before it moves")
		c.at("40s").looks(arrived("37s"), None, "now it is there")
		c.at("57s").expires("a whole timeout after it arrived")
	})
	t.Run("slowly", func(t *testing.T) {
		c := sent(t)
		c.at("30s").looks(moved("30s"), None, "the queue before it moves")
		c.at("40s").looks(moved("39s"), None, "and moves")
		c.at("50s").looks(moved("50s"), None, "and moves, far beyond the timeout")
		c.at("60s").looks(arrived("59s"), None, "it is there")
		c.at("70s").pong(1, "50s", "an answer at last")
		c.next("70s", "the next ping is overdue")
	})
	t.Run("never, and nothing moves", func(t *testing.T) {
		c := sent(t)
		c.at("30s").looks(moved("19s"), None, "not before the whole timeout is over")
		c.at("40s").looks(moved("19s"), Expired, "nothing has moved since the ping left")
		c.next("never", "it has been said")
	})
	t.Run("never, and what moved stops", func(t *testing.T) {
		c := sent(t)
		c.at("30s").looks(moved("25s"), None, "something moved since the ping left")
		c.at("40s").looks(moved("25s"), None, "15 s ago: less than a timeout")
		c.at("45s").looks(moved("25s"), Expired, "a whole timeout ago")
	})
	t.Run("never, and its TCP has no room", func(t *testing.T) {
		full := Delivery{Moved: instant(t, "19s"), Patience: 45 * time.Second}
		c := sent(t)
		c.at("30s").looks(full, None, "not before the whole timeout is over")
		c.at("40s").looks(full, None, "its program may read slowly")
		c.at("50s").looks(full, None, "still within the patience for that")
		c.at("60s").looks(full, None, "and still")
		c.at("64s").looks(full, Expired, "nothing has moved for all of it")
	})
	t.Run("and its TCP has no room behind it", func(t *testing.T) {
		c := sent(t)
		c.at("30s").looks(arrived("20.1s"), None, "half of the timeout is over")
		c.at("40s").looks(Delivery{Arrived: true, Moved: instant(t, "38s"), Patience: 30 * time.Second}, None, "its program may read slowly")
		c.at("50s").looks(Delivery{Arrived: true, Moved: instant(t, "49s"), Patience: 30 * time.Second}, None, "it reads")
		c.at("60s").looks(Delivery{Arrived: true, Moved: instant(t, "49s")}, Expired, "it has room, and does not answer")
	})
	t.Run("while we do not read", func(t *testing.T) {
		c := sent(t)
		c.at("30s").looks(moved("30s"), None, "under way").pauses().next("never", "the deadline stands still")
		c.at("1h").resumes().at("1h10s").looks(arrived("50s"), None, "a whole timeout begins")
		c.at("1h20s").expires("and ends")
	})
	t.Run("looked at late", func(t *testing.T) {
		for _, tt := range []struct {
			d    Delivery
			want Action
			next string
		}{
			{arrived("1h"), None, "1h20s"},
			{arrived("25s"), Expired, "never"},
			{moved("25s"), None, "1h10s"},
		} {
			c := sent(t).at("1h")
			if got := c.state.Advance(c.now, c.now); got != Look {
				t.Fatalf("%v, want a look: the process was stopped", name(got))
			}
			if got := c.state.Looked(&c.rules, c.now, tt.d); got != tt.want {
				t.Errorf("%+v: %v, want %v", tt.d, name(got), name(tt.want))
			}
			c.next(tt.next, "a whole timeout from when it may have arrived")
		}
	})
}

func TestARoundTripThatWasHeldUpIsNotMeasured(t *testing.T) {
	c := opened(t, with(anyByte, func(r *Rules) { r.Timeout = 0 }))
	c.at("20s").wantsPing("the first")
	c.state.Sent(&c.rules, c.now, 1, true, true)
	c.at("40s").wantsPing("the second").sends(2)
	c.at("41s").unmeasuredPong(1, "it left behind other bytes")
	c.at("42s").pong(2, "2s", "this one did not")
	c.at("60s").wantsPing("the third").sends(3)
	c.at("61s").pauses().resumes()
	c.at("62s").unmeasuredPong(3, "its pong lay unread")
}

func TestLearnPongArmsOnlyPingsAfterTheLesson(t *testing.T) {
	c := opened(t, with(anyByte, func(r *Rules) { r.Pong = LearnPong }))
	c.at("20s").wantsPing("the first").sendsUnarmed(1)
	c.at("21s").pong(1, "1s", "the lesson")
	c.at("40s").wantsPing("the second").sends(2)
	c.at("60s").expires("armed when it was sent")
}

func TestRequirePongAsksForNoLesson(t *testing.T) {
	c := opened(t, anyByte)
	c.at("20s").wantsPing("the first").sendsUnarmed(1)
	c.at("40s").expires("the deadline always holds")
}

func TestIgnorePongLearnsNothing(t *testing.T) {
	c := opened(t, with(anyByte, func(r *Rules) { r.Pong = IgnorePong }))
	c.at("20s").wantsPing("the first").sends(1)
	c.at("40s").wantsPing("no deadline, though the peer is known to answer")
}

func TestInterval0MeansNoPings(t *testing.T) {
	c := opened(t, with(anyByte, func(r *Rules) { r.Interval = 0 }))
	c.next("never", "there is nothing to say")
	c.at("1h").wants(None, "ever").sends(1).hears().pauses().resumes()
	c.next("never", "whatever happens")
}

func TestAfterAStallThereIsOnePing(t *testing.T) {
	c := opened(t, anyByte)
	c.at("3h").wants(Ping, "stopped and continued: not Expired, no ping was out")
	c.wants(None, "no burst").sends(1)
	c.next("3h20s", "a whole timeout").at("3h1s").pong(1, "1s", "healthy")
	c.next("3h20s", "one interval on, nothing is made up for")
}

func TestAfterExpiredNothingFollows(t *testing.T) {
	c := opened(t, anyByte)
	c.at("20s").wantsPing("the first").sends(1)
	c.at("40s").expires("nothing came")
	c.next("never", "it has been said").at("41s").wants(None, "once")
	c.hears().pauses().resumes().sends(2).next("never", "whatever happens")
}

func TestAfterStopNothingFollows(t *testing.T) {
	t.Run("waiting", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("10s").stops().next("never", "no more pings").at("20s").wants(None, "none")
	})
	t.Run("wanted", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").stops()
		if c.state.Wanted() {
			t.Error("wanted after Stop")
		}
		c.sends(1).next("never", "it may have been on its way, but starts no deadline")
	})
	t.Run("owed", func(t *testing.T) {
		c := opened(t, anyByte)
		c.at("20s").wantsPing("the first").sends(1)
		c.at("21s").stops().next("never", "no more deadlines")
		c.at("22s").pong(1, "2s", "a late echo is still ours, not somebody's to be passed on")
		c.at("23s").pauses().resumes().next("never", "whatever happens")
	})
}

func TestTheZeroStateIsStopped(t *testing.T) {
	c := &conversation{t: t, rules: anyByte}
	c.next("never", "not opened").at("1h").wants(None, "not opened")
	if rtt, ok := c.state.RTT(); ok {
		t.Errorf("round trip %v before any", rtt)
	}
}

func TestTimeSaturatesAtNever(t *testing.T) {
	for _, tt := range []struct {
		t    Time
		d    time.Duration
		want Time
	}{
		{0, 1, 1},
		{Never - 1, 1, Never},
		{Never - 1, 2, Never},
		{Never, math.MaxInt64, Never},
		{5, -3, 2},
	} {
		if got := tt.t.Add(tt.d); got != tt.want {
			t.Errorf("%d + %d = %d, want %d", tt.t, tt.d, got, tt.want)
		}
	}
}

// A session carries two of these, so their size is part of its price.
func TestStateIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(State{}); got > 48 {
		t.Errorf("a State takes %d bytes, want at most 48", got)
	}
}

func TestARoundAllocatesNothing(t *testing.T) {
	var (
		s       State
		now     Time
		payload [payloadSize]byte
	)
	s.Open(&anyByte, now, 0)
	allocs := testing.AllocsPerRun(100, func() {
		now = s.Next()
		if s.Advance(now, now) != Ping {
			t.Fatal("no ping")
		}
		s.Sent(&anyByte, now, uint64(now), true, false)
		s.Heard(&anyByte, now+1, false)
		if pong := s.Pong(&anyByte, now+1, AppendPayload(payload[:0], uint64(now)), false); !pong.Measured {
			t.Fatal("not ours")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a round, want none", allocs)
	}
}
