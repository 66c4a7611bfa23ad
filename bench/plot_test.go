package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestPlots(t *testing.T) {
	for _, p := range []params{defaultParams(), quickParams()} {
		r := newResults(options{params: p, scenarios: scenarios()}, environment{})
		r.available(target{name: "holdfast", title: "Holdfast", role: own}, "")
		for i := range r.Figures {
			r.Figures[i].Medians["holdfast"] = 12
		}
		files := r.plots()
		if len(files) != 5 {
			t.Errorf("%d plots, want 5", len(files))
		}
		for name, svg := range files {
			if err := wellFormed(svg); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func wellFormed(document []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(document)); ; {
		if _, err := d.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestBarsAreProportional(t *testing.T) {
	svg := string(barChart("memory <B>", []bar{{"Holdfast", 100, true}, {"nginx & co", 400, false}}))
	for _, want := range []string{`class="own" x="180" y="48" width="115.0"`, `class="bar" x="180" y="80" width="460.0"`, "nginx &amp; co", "memory &lt;B&gt;"} {
		if !strings.Contains(svg, want) {
			t.Errorf("chart lacks %s:\n%s", want, svg)
		}
	}
}
