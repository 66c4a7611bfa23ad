package proxy

import (
	"strings"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/wire"
)

// A client that sends as fast as it can is delivered at its rate, from the frames that came
// with its request on.
func TestFastClientIsDeliveredAtItsRate(t *testing.T) {
	const rate, all = 50, 1000
	w := newInventedWorld(t, func(c *Config) {
		c.ClientPace = Pace{Frames: rate}
		c.UpstreamSide.Pong = heartbeat.IgnorePong
	})
	c := w.dials()
	c.sendsString(wire.Request() + string(wire.Encode(true, times(all, wire.Text("tick"))...)))
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
	delivered := func() (n int) {
		for _, f := range u.frames() {
			if f == wire.Text("tick") {
				n++
			}
		}
		return n
	}
	sum := delivered()
	early := sum // these had been read before there was a session: they are paid for now
	for w.now.Sub(began) < 25*time.Second {
		w.pass(500 * time.Millisecond)
		sum += delivered()
		elapsed := w.now.Sub(began).Seconds()
		if most := max(float64(early), rate*(1+elapsed)); float64(sum) > most+1 {
			t.Fatalf("%d frames after %.1f s, want at most %.0f", sum, elapsed, most)
		}
		if least := min(all, rate*elapsed); float64(sum) < least {
			t.Fatalf("%d frames after %.1f s, want at least %.0f", sum, elapsed, least)
		}
	}
	if sum != all {
		t.Errorf("%d frames are delivered, want all %d", sum, all)
	}
}
