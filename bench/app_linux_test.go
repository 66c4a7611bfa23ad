package main

import (
	"bytes"
	"errors"
	"testing"
)

// A client answers the application's heartbeat, however it is split, and its role does not see
// it.
func TestClientAnswersAppPing(t *testing.T) {
	ping := appendFrame(nil, opText, nil, []byte(appPing))
	for split := range len(ping) {
		s := sessionThatWaits()
		if err := errors.Join(s.received(s.conn, ping[:split]), s.received(s.conn, ping[split:])); err != nil {
			t.Fatalf("split at %d: %v", split, err)
		}
		if got := s.conn.out[1:]; !bytes.Equal(got, appPongFrame) {
			t.Errorf("split at %d: the answer is %q, want %q", split, got, appPongFrame)
		}
	}
}

func TestClientTakesNothingElseForAppPing(t *testing.T) {
	for _, text := range []string{upstreamAppPing, appPong, "short"} {
		s := sessionThatWaits()
		if err := s.received(s.conn, appendFrame(nil, opText, nil, []byte(text))); err == nil {
			t.Errorf("%q is not an error", text)
		}
	}
}

// sessionThatWaits returns an open, idle session. What it sends is kept behind a byte that the
// kernel has not taken.
func sessionThatWaits() *session {
	return &session{state: open, conn: &conn{out: []byte{0}}, role: &idle{fan: &fanOut{}}}
}

// What clients and backend say is not taken for a heartbeat, not even at its beginning.
func TestLoadIsNoAppHeartbeat(t *testing.T) {
	messages := [][]byte{fanOutMessage, bulkAck}
	for _, p := range []params{defaultParams(), quickParams()} {
		for _, size := range append(p.EchoSizes, textEchoes(p).EchoSizes...) {
			messages = append(messages, pattern(size))
		}
	}
	for _, m := range messages {
		if len(m) == len(appPing) {
			t.Errorf("a message has %d bytes, as the heartbeat has", len(m))
		}
		for _, text := range []string{appPong, upstreamAppPing, appAnswer} {
			if m[0] == text[0] {
				t.Errorf("%q and %q begin with the same byte", m[:1], text)
			}
		}
	}
}
