package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestSizing(t *testing.T) {
	r := &results{Params: params{Sessions: 10_000}}
	add := func(scenario, key string, value float64) {
		r.Figures = append(r.Figures, figureResult{
			figure:  figure{Scenario: scenario, Key: key},
			Medians: map[string]float64{holdfastName: value},
		})
	}
	add(scaleScenario.name, scaleProcess, 1<<10)
	add(scaleScenario.name, scaleCaches, 10<<10)
	var b bytes.Buffer
	if r.writeSizing(&b); b.Len() > 0 {
		t.Errorf("written without what the CPU is made from:\n%s", b.String())
	}
	add(idleScenario.name, idleCPU, 20)
	r.writeSizing(&b)
	for _, want := range []string{
		"| 10,000 | 0.00954 | 0.0954 | 20,000 | 1 | 1,000 | 0.02 |",
		"| 1,000,000 | 0.954 | 9.54 | 2,000,000 | 36 | 100,000 | 2.00 |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no row %q in\n%s", want, b.String())
		}
	}
}
