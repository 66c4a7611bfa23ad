package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast/metrics"
)

// Two hundred seeds: make sim plays many more.
func TestSeeds(t *testing.T) {
	for seed := range uint64(200) {
		if wrong := newWorld(planFor(seed), story{}).plays(); len(wrong) > 0 {
			t.Errorf("seed %d: %v", seed, wrong)
		}
	}
}

// Each legal end is a gate.
func TestGatesHaveEveryLegalEnd(t *testing.T) {
	gates := wanted()
	for side := range metrics.Proxy + 1 {
		for reason := metrics.PingTimeout; reason <= metrics.Internal; reason++ {
			end := dropped(side, reason)
			if is := slices.Contains(gates, end); is != metrics.LegalDrop(side, reason) {
				t.Errorf("%s is expected: %v", end, is)
			}
		}
	}
}

func TestARunIsTheSameTwice(t *testing.T) {
	r := newRun()
	for seed := uint64(again); seed <= 10*again; seed += again {
		if _, wrong := r.play(planFor(seed)); len(wrong) > 0 {
			t.Errorf("seed %d: %v", seed, wrong)
		}
	}
}

// Each plan is one that has found a fault of the proxy, or a mutant that few seeds catch,
// made as small as it goes. The name says what the fault was, or what the plan has in it.
func TestPlansThatHaveFoundFaults(t *testing.T) {
	names, err := filepath.Glob("testdata/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("there are no plans: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var p Plan
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if wrong := newWorld(&p, story{}).plays(); len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

// A minute is for the three clients of a loop, which are told so many seconds after its beginning.
func TestSpreadIsJudged(t *testing.T) {
	for _, test := range []struct {
		told []time.Duration
		even bool
	}{
		{[]time.Duration{0, 20, 40}, true},
		{[]time.Duration{59, 19, 39}, true},
		{[]time.Duration{0, 19, 40}, false},
		{[]time.Duration{0, 0, 0}, false},
		{[]time.Duration{0, 60, 120}, false},
		{[]time.Duration{25, 35, 45}, false},
		{[]time.Duration{39, 59}, true}, // the first one has ended by itself
		{[]time.Duration{0, 19}, false},
		{[]time.Duration{41, 59}, false},
	} {
		w := newWorld(&Plan{Knobs: Knobs{Loops: 1}}, story{})
		tell := telling{spread: time.Minute, first: true, alone: true, open: 3}
		for _, at := range test.told {
			c := &peer{hasClose: true, gotClose: []byte(drainClose), toldAt: at * time.Second}
			tell.judged = append(tell.judged, &talk{client: c})
		}
		tell.isEven(w, never)
		if even := len(w.wrong) == 0; even != test.even {
			t.Errorf("clients are told after %v seconds, and that counts as even: %v", test.told, even)
		}
	}
}

// The invented fault is that a client's flood meets a limit of frames.
func TestShrinkKeepsOnlyWhatMatters(t *testing.T) {
	p := planFor(7)
	p.Knobs.MaxFrame = 4096
	p.Sessions = append(p.Sessions, p.Sessions[0], p.Sessions[0])
	last := &p.Sessions[len(p.Sessions)-1].Client
	last.Does = append(last.Does, Action{time.Second, Floods, 1 << 20}, Action{time.Second, Closes, 0})
	small := shrink(p, func(p *Plan) string {
		for _, c := range p.Sessions {
			for _, do := range c.Client.Does {
				if do.Kind == Floods && do.Size > 1000 && p.Knobs.MaxFrame > 0 {
					return "a frame of 4096 bytes"
				}
			}
		}
		return ""
	})
	if len(small.Sessions) != 1 || len(small.Sessions[0].Client.Does) != 1 || len(small.Sessions[0].Service.Does) != 0 {
		t.Errorf("there is more left than one action: %+v", small.Sessions)
	}
	if do := small.Sessions[0].Client.Does[0]; do.Size > 2001 || small.Knobs.MaxFrame == 0 {
		t.Errorf("the action is %+v, the limit %d", do, small.Knobs.MaxFrame)
	}
	if f := small.Faults; f.Again+f.Short+f.Stalls+f.Stopped != 0 {
		t.Errorf("faults are left: %+v", f)
	}
}
