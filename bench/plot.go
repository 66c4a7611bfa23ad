package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// plots returns plots of the headline figures that were measured: SVG, by file name.
func (r *results) plots() map[string][]byte {
	files := make(map[string][]byte)
	for _, f := range r.Figures {
		name, ok := headline(f.figure, r.Params)
		if !ok {
			continue
		}
		if bars := r.bars(f); len(bars) > 0 {
			files[name] = barChart(fmt.Sprintf("%s (%s)", f.Title, f.Unit), bars)
		}
	}
	return files
}

// headline returns the file name for a figure. ok is false if the figure is not plotted.
func headline(f figure, p params) (file string, ok bool) {
	middle := p.EchoConns[len(p.EchoConns)/2]
	switch f.Scenario + "/" + f.Key {
	case idleScenario.name + "/memory":
		return "memory-per-session.svg", true
	case tlsIdleScenario.name + "/memory":
		return "memory-per-tls-session.svg", true
	case tlsSetupScenario.name + "/cpu":
		return "cpu-per-tls-session.svg", true
	case echoScenario.name + "/" + echoKey("cpu", p.EchoSizes[0], middle):
		return "cpu-per-echo.svg", true
	case bulkScenario.name + "/" + bulkKey("down", p.BulkSizes[0]):
		return "cpu-per-gb.svg", true
	}
	return "", false
}

// A bar is one target's bar in a chart.
type bar struct {
	label string
	value float64
	own   bool
}

// bars returns the bars of the targets for which the figure was measured.
func (r *results) bars(f figureResult) []bar {
	var bars []bar
	for _, t := range r.columns() {
		if value := r.value(f, t.Name); !math.IsNaN(value) && value > 0 {
			bars = append(bars, bar{t.Title, value, t.role == own})
		}
	}
	return bars
}

// The measures of a chart, in pixels.
const (
	chartWidth = 720
	labelWidth = 180
	valueWidth = 80
	titleSpace = 48
	barHeight  = 22
	barPitch   = 32
)

// chartStyle follows the reader's colour scheme.
const chartStyle = `
text { font: 14px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; font-size: 15px; }
.bar { fill: #8c959f; }
.own { fill: #1a7f64; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .bar { fill: #6e7681; }
  .own { fill: #3fb68b; }
}
`

// barChart draws horizontal bars that begin at zero, in the order of bars.
func barChart(title string, bars []bar) []byte {
	most := 0.0
	for _, b := range bars {
		most = max(most, b.value)
	}
	height := titleSpace + len(bars)*barPitch
	var svg bytes.Buffer
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label=%q>`,
		chartWidth, height, chartWidth, height, html.EscapeString(title))
	fmt.Fprintf(&svg, "\n<style>%s</style>\n", chartStyle)
	fmt.Fprintf(&svg, `<text class="title" x="8" y="26">%s</text>`+"\n", html.EscapeString(title))
	for i, b := range bars {
		drawBar(&svg, b, titleSpace+i*barPitch, b.value/most)
	}
	svg.WriteString("</svg>\n")
	return svg.Bytes()
}

// drawBar draws one row. share is the bar's length, relative to the longest bar.
func drawBar(svg *bytes.Buffer, b bar, y int, share float64) {
	class := "bar"
	if b.own {
		class = "own"
	}
	width := max(share*(chartWidth-labelWidth-valueWidth), 1)
	text := y + barHeight - 6
	fmt.Fprintf(svg, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-10, text, html.EscapeString(b.label))
	fmt.Fprintf(svg, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="3"/>`, class, labelWidth, y, width, barHeight)
	fmt.Fprintf(svg, `<text x="%.1f" y="%d">%s</text>`+"\n", labelWidth+width+8, text, formatNumber(b.value))
}
