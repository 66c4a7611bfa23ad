package demo

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

func TestStoryEndsAsPromised(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	kept, err := playOnce(patient(t), quick, &out)
	if !kept || err != nil {
		t.Fatalf("kept %v, error %v, want true and none:\n%s", kept, err, &out)
	}
	if !strings.HasSuffix(out.String(), "\nholdfast demo: all 11 promises kept\n") {
		t.Errorf("the last line is not the result:\n%s", &out)
	}
}

func TestStoryFailsWithoutMiddlebox(t *testing.T) {
	t.Parallel()
	lenient := talkative()
	lenient.hope = patience
	var out bytes.Buffer
	kept, err := playOnce(patient(t), lenient, &out)
	if kept || err != nil {
		t.Fatalf("kept %v, error %v, want false and none:\n%s", kept, err, &out)
	}
	if !strings.HasSuffix(out.String(), "\nholdfast demo: 2 of 11 promises broken\n") {
		t.Errorf("the last line is not the result:\n%s", &out)
	}
}

func TestInterruptedStoryIsNoSuccess(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if kept, err := playOnce(ctx, quick, io.Discard); kept || err == nil {
		t.Errorf("kept %v, error %v, want false and why", kept, err)
	}
}

func TestPromises(t *testing.T) {
	cut := time.Now()
	asPromised := outcome{
		cutOff:       true,
		ghost:        true,
		echoB:        true,
		roundTrips:   4,
		roundTrip:    time.Millisecond,
		dropped:      true,
		droppedAfter: shown.interval + shown.timeout,
		toService:    farewell{1001, "client keepalive ping timeout"},
		toClient:     farewell{1011, "keepalive ping timeout"},
		counted:      1,
		scripts: scripts{
			through: watch{beats: 2, knew: cut.Add(shown.bound)},
			cut:     cut,
			isLost:  true,
			waited:  shown.bound,
		},
	}
	if all := promises(shown, asPromised); !allKept(all) {
		t.Errorf("broken though all went as promised:%s", summary(all))
	}
	for name, spoil := range map[string]func(*outcome){
		"A was told":             func(o *outcome) { o.cutOff = false },
		"A was echoed":           func(o *outcome) { o.echoA = true },
		"no ghost":               func(o *outcome) { o.ghost = false },
		"B was not echoed":       func(o *outcome) { o.echoB = false },
		"nothing was measured":   func(o *outcome) { o.roundTrips = 0 },
		"C was not dropped":      func(o *outcome) { o.dropped = false },
		"C was dropped late":     func(o *outcome) { o.droppedAfter += shown.grace + 1 },
		"service told otherwise": func(o *outcome) { o.toService.code = 1000 },
		"C told otherwise":       func(o *outcome) { o.toClient.reason = "" },
		"not counted":            func(o *outcome) { o.counted = 0 },
		"counted twice":          func(o *outcome) { o.counted = 2 },
		"D got one heartbeat":    func(o *outcome) { o.scripts.through.beats = 1 },
		"D does not know":        func(o *outcome) { o.scripts.through.knew = time.Time{} },
		"D knew too early":       func(o *outcome) { o.scripts.through.knew = cut },
		"D knew late":            func(o *outcome) { o.scripts.through.knew = cut.Add(shown.bound + shown.grace + 1) },
		"E knows":                func(o *outcome) { o.scripts.straight.knew = cut.Add(shown.bound) },
		"E was told":             func(o *outcome) { o.scripts.isLost = false },
	} {
		o := asPromised
		spoil(&o)
		if allKept(promises(shown, o)) {
			t.Errorf("%s: all promises kept, want one broken", name)
		}
	}
}
