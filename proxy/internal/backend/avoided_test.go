package backend

import (
	"testing"
	"time"
)

// A target that breaks off every handshake has no sessions. It does not get those of the
// others for that, and comes back slowly when it answers.
func TestTargetThatBreaksOffIsAvoided(t *testing.T) {
	const draws = 10000
	upstreams, addresses := literals(2)
	r := newRig(t, upstreams, slowStart(30*time.Second))
	broken := r.target(addresses[0])
	working := r.opens(request(), aClient)
	for working == broken {
		ends(broken)
		working = r.opens(request(), aClient)
	}
	gets := func(why string, share float64) {
		t.Helper()
		var all []string
		for range draws {
			all = append(all, r.firstOf(request(), aClient))
		}
		wantsShare(t, why, tally(all)[broken.address], draws, share)
	}
	gets("it has fewer sessions", 1)
	for range breaksUntilAvoided - 1 {
		broken.BreaksOff()
	}
	gets("not often enough", 1)
	broken.Answers()
	broken.BreaksOff()
	gets("not in a row", 1)
	for range breaksUntilAvoided {
		broken.BreaksOff()
	}
	gets("it breaks off every handshake", leastWeight)
	if !broken.Up() || !r.Up() {
		t.Error("what clients cause has made the target down")
	}
	broken.Answers()
	gets("it answers again", leastWeight)
	r.passes(30 * time.Second)
	gets("its slow start is over", 1)
	for range breaksUntilAvoided {
		broken.BreaksOff()
		working.BreaksOff()
	}
	gets("both break off", 1)
}
