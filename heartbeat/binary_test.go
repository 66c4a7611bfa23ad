package heartbeat

import (
	"bytes"
	"encoding"
	"testing"
)

var _ interface {
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
} = (*State)(nil)

// handedOver is the conversation as another process goes on with it.
func (c *conversation) handedOver() *conversation {
	c.t.Helper()
	c.state = restored(c.t, &c.state)
	return c
}

// restored returns s written down and read again.
func restored(t *testing.T, s *State) State {
	t.Helper()
	written, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got State
	if err := got.UnmarshalBinary(written); err != nil {
		t.Fatalf("% x: %v", written, err)
	}
	again, err := got.AppendBinary(nil)
	if err != nil || !bytes.Equal(again, written) {
		t.Fatalf("written % x, restored as % x, %v", written, again, err)
	}
	return got
}

func TestAnotherProcessGoesOn(t *testing.T) {
	c := opened(t, with(anyByte, func(r *Rules) { r.Pong = LearnPong }))
	c.handedOver().next("20s", "waiting")
	c.at("20s").wantsPing("the first").handedOver()
	if !c.state.Wanted() {
		t.Error("a wanted ping was lost")
	}
	c.at("21s").sendsUnarmed(1).handedOver()
	c.at("41s").wantsPing("the second").sends(2).handedOver()
	c.next("61s", "its deadline")
	c.at("42s").pauses().handedOver().next("never", "still paused")
	c.at("50s").resumes().handedOver().next("70s", "a whole timeout")
	c.at("51s").unmeasuredPong(1, "what was remembered, and that it lay unread")
	c.at("52s").handedOver().unmeasuredPong(2, "and the latest")
	c.at("61s").wantsPing("the third").sends(3).handedOver()
	c.at("62s").pong(3, "1s", "measured")
	c.handedOver()
	if rtt, ok := c.state.RTT(); !ok || rtt != duration(t, "1s") {
		t.Errorf("last round trip %v, %v", rtt, ok)
	}
}

func TestUnmarshalRefusesWhatNoStateCanBe(t *testing.T) {
	c := opened(t, anyByte)
	c.at("20s").wantsPing("the first").sends(1)
	good, err := c.state.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int, b byte) []byte {
		bad := bytes.Clone(good)
		bad[at] = b
		return bad
	}
	for _, tt := range []struct {
		why string
		bad []byte
	}{
		{"empty", nil},
		{"too short", good[:len(good)-1]},
		{"too long", append(bytes.Clone(good), 0)},
		{"another format", changed(0, binaryFormat+1)},
		{"no such status", changed(1, byte(pressing)+1)},
		{"an answer owed to no ping", changed(2, 0)},
		{"an earlier ping that is not there", changed(2, 2)},
		{"too many pings", append(changed(2, maxOpen+1), make([]byte, maxOpen*binaryPing)...)},
		{"no such flag", changed(3, flagsEnd)},
		{"a reply owed that has come", changed(3, byte(replied)<<mannerAt)},
		{"an answer owed that has come", changed(3, byte(otherwise)<<mannerAt)},
		{"no such manner", changed(3, byte(behind+1)<<mannerAt)},
		{"no such wait", changed(4, byte(Arrived)+1)},
	} {
		before := c.state
		if err := c.state.UnmarshalBinary(tt.bad); err == nil {
			t.Errorf("%s: restored", tt.why)
		}
		if c.state != before {
			t.Errorf("%s: the state changed", tt.why)
		}
	}
}

// FuzzUnmarshal restores any bytes: what is taken must be written alike, and must
// stand everything that can be said to it.
func FuzzUnmarshal(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if s.UnmarshalBinary(b) != nil {
			return
		}
		if written, err := s.AppendBinary(nil); err != nil || !bytes.Equal(written, b) {
			t.Fatalf("% x restored as % x, %v", b, written, err)
		}
		now := max(s.at, 0)
		s.Pong(&anyByte, now, nil, false)
		s.Pong(&anyByte, now, AppendPayload(nil, s.payload), false)
		s.Resume(&anyByte, now, true)
		s.Advance(now, now)
		s.Looked(&anyByte, now, Delivery{Moved: now})
		s.Defer(&anyByte)
		s.Advance(now, now)
		s.Sent(&anyByte, now, 1, true, false)
		s.Heard(&anyByte, now, true)
	})
}
