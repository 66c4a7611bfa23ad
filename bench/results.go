package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"time"
)

// results are all samples of a run. They are written as the JSON file. The table and the
// plots are made from them.
type results struct {
	Started     time.Time      `json:"started"`
	Finished    time.Time      `json:"finished"`
	Environment environment    `json:"environment"`
	Rounds      int            `json:"rounds"`
	Params      params         `json:"params"`
	Targets     []targetResult `json:"targets"`
	Figures     []figureResult `json:"figures"`
	Failures    []failure      `json:"failures"`
}

type targetResult struct {
	Name        string     `json:"name"`
	Title       string     `json:"title"`
	Version     string     `json:"version,omitempty"`
	Unavailable string     `json:"unavailable,omitempty"` // why
	role        targetRole // of its column
}

type figureResult struct {
	figure
	Samples map[string][]float64 `json:"samples"` // by target, in the order of the rounds
	Medians map[string]float64   `json:"medians"` // by target
}

// A failure says why a target failed in a scenario. The table then does not show the
// target's figures of that scenario, because a proxy whose sessions fail looks fast.
type failure struct {
	Target   string `json:"target"`
	Scenario string `json:"scenario"`
	Error    string `json:"error"`
}

func newResults(o options, e environment) *results {
	r := &results{Started: time.Now(), Environment: e, Rounds: o.rounds, Params: o.params, Failures: []failure{}}
	for _, s := range o.scenarios {
		for _, f := range figuresOf(s, o.params) {
			r.Figures = append(r.Figures, figureResult{figure: f, Samples: map[string][]float64{}, Medians: map[string]float64{}})
		}
	}
	return r
}

func (r *results) available(t target, version string) {
	r.Targets = append(r.Targets, targetResult{Name: t.name, Title: t.title, Version: version, role: t.role})
}

func (r *results) unavailable(t target, why error) {
	r.Targets = append(r.Targets, targetResult{Name: t.name, Title: t.title, Unavailable: why.Error(), role: t.role})
}

// add keeps one round's values.
func (r *results) add(t target, s scenario, values map[string]float64) {
	for i := range r.Figures {
		f := &r.Figures[i]
		if value, ok := values[f.Key]; ok && f.Scenario == s.name {
			f.Samples[t.name] = append(f.Samples[t.name], value)
			f.Medians[t.name] = median(f.Samples[t.name])
		}
	}
}

func (r *results) failed(t target, s scenario, why error) {
	r.Failures = append(r.Failures, failure{t.name, s.name, why.Error()})
}

// hasFailed reports whether any round of a scenario failed.
func (r *results) hasFailed(target, scenario string) bool {
	for _, f := range r.Failures {
		if f.Target == target && f.Scenario == scenario {
			return true
		}
	}
	return false
}

// value returns the median to show and to compare. It returns NaN if the figure was not
// measured or the scenario failed.
func (r *results) value(f figureResult, target string) float64 {
	value, ok := f.Medians[target]
	if !ok || r.hasFailed(target, f.Scenario) {
		return math.NaN()
	}
	return value
}

// write puts the table, the JSON and the plots into a directory, and the table also to w.
func (r *results) write(dir string, w io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	table := r.markdown()
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	files := r.plots()
	maps.Copy(files, map[string][]byte{"results.md": table, "results.json": append(data, '\n')})
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	_, err = io.Copy(w, bytes.NewReader(table))
	return err
}
