package main

import (
	"testing"
)

func TestAddTakesFiguresOfItsScenarioOnly(t *testing.T) {
	o := options{params: defaultParams(), scenarios: []scenario{idleScenario, setupScenario}}
	r := newResults(o, environment{})
	nginx := target{name: "nginx"}
	for _, cpu := range []float64{30, 10, 20} {
		r.add(nginx, setupScenario, map[string]float64{"cpu": cpu})
	}
	for _, f := range r.Figures {
		samples := len(f.Samples["nginx"])
		switch {
		case f.Scenario == "setup" && f.Key == "cpu":
			if samples != 3 || r.value(f, "nginx") != 20 {
				t.Errorf("setup has %d samples and median %v, want 3 and 20", samples, r.value(f, "nginx"))
			}
		case samples != 0:
			t.Errorf("%s/%s has %d samples, want none", f.Scenario, f.Key, samples)
		}
	}
}
