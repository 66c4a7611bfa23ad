package proxy

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/wire"
)

// A client that sends as fast as it can is delivered at its rate, from the frames that came
// with its request on.
func TestFastClientIsDeliveredAtItsRate(t *testing.T) {
	tick := wire.Encode(true, wire.Text("tick"))
	for _, pace := range []Pace{{Frames: 50}, {Bytes: 50 * float64(len(tick))}, {Frames: 50, Bytes: 1e6}} {
		deliversAtRate(t, pace, string(tick))
	}
}

// deliversAtRate checks that a client with this pace is delivered 50 frames like tick a
// second.
func deliversAtRate(t *testing.T, pace Pace, tick string) {
	t.Helper()
	const rate, all = 50, 5000 // more than a handshake holds
	w := newInventedWorld(t, func(c *Config) {
		c.ClientPace = pace
		c.Client.Interval, c.UpstreamSide.Interval = 0, 0
	})
	c := w.dials()
	c.sendsString(wire.Request() + strings.Repeat(tick, all))
	u := w.accepts()
	asked, err := wire.ParseRequest(u.told())
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute / 2) // of the upstream's, before the session begins
	u.sendsString(wire.Answer(asked))
	if got := c.told(); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		t.Fatalf("the client is told %q", got)
	}
	began := w.now
	var got string
	size := len(tick)
	delivered := func() int {
		got += u.told()
		return len(got) / size // frames that are whole
	}
	sum := delivered()
	early := sum // these had been read before there was a session: they are paid for now
	for w.now.Sub(began) < 105*time.Second {
		w.pass(500 * time.Millisecond)
		sum = delivered()
		elapsed := w.now.Sub(began).Seconds()
		trickle := elapsed * float64(longestSlow/time.Second) / smallestFrame // a byte after each pause
		if most := max(float64(early)+trickle, rate*(1+elapsed)); float64(sum) > most+1 {
			t.Fatalf("%d frames after %.1f s, want at most %.0f", sum, elapsed, most)
		}
		if least := min(all, rate*elapsed); float64(sum) < least {
			t.Fatalf("%d frames after %.1f s, want at least %.0f", sum, elapsed, least)
		}
	}
	if got != strings.Repeat(tick, all) {
		t.Errorf("%d frames are delivered, want all %d as they came", sum, all)
	}
}
