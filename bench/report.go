package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
)

// markdown returns the report: one table, and notes for reading it.
func (r *results) markdown() []byte {
	var b bytes.Buffer
	columns := r.columns()
	header := []string{"figure, lower is better"}
	for _, t := range columns {
		header = append(header, t.Title)
	}
	writeRow(&b, append(header, "Holdfast / best peer"))
	b.WriteString("|---|" + strings.Repeat("--:|", len(columns)+1) + "\n")
	r.writeRows(&b, columns, false)
	r.writeRows(&b, columns, true)
	b.WriteString("\n")
	r.writeSizing(&b)
	r.writeNotes(&b)
	return b.Bytes()
}

// columns returns the targets that were measured.
func (r *results) columns() []targetResult {
	var columns []targetResult
	for _, t := range r.Targets {
		if t.Unavailable == "" {
			columns = append(columns, t)
		}
	}
	return columns
}

// writeRows writes the figures of wall-clock time if wallClock is true, and else those that
// count what the proxy used.
func (r *results) writeRows(b *bytes.Buffer, columns []targetResult, wallClock bool) {
	titled := !wallClock
	for _, f := range r.Figures {
		if f.WallClock != wallClock {
			continue
		}
		if !titled {
			titled = true
			row := make([]string, len(columns)+2)
			row[0] = "**by the clock on the wall, which other work on the machine distorts**"
			writeRow(b, row)
		}
		r.writeFigure(b, f, columns)
	}
}

func (r *results) writeFigure(b *bytes.Buffer, f figureResult, columns []targetResult) {
	row := []string{fmt.Sprintf("%s (%s)", f.Title, f.Unit)}
	holdfast, peers := math.NaN(), []float64(nil)
	for _, t := range columns {
		value := r.value(f, t.Name)
		row = append(row, r.cell(f, t.Name, value))
		switch {
		case t.role == peer && !math.IsNaN(value):
			peers = append(peers, value)
		case t.role == own:
			holdfast = value
		}
	}
	quotient, ok := ratio(holdfast, peers)
	writeRow(b, append(row, formatRatio(quotient, ok && !f.NoRatio)))
}

func (r *results) cell(f figureResult, target string, value float64) string {
	switch {
	case r.hasFailed(target, f.Scenario):
		return "failed"
	case math.IsNaN(value):
		return "–"
	}
	return formatNumber(value)
}

func writeRow(b *bytes.Buffer, cells []string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// formatNumber returns v with three significant digits. From 100 on it returns the nearest
// whole number.
func formatNumber(v float64) string {
	switch magnitude := math.Abs(v); {
	case magnitude >= 100:
		return grouped(int(math.Round(v)))
	case magnitude >= 10:
		return fmt.Sprintf("%.1f", v)
	case magnitude >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// formatRatio marks a ratio within the noise of a shared machine with ≈.
func formatRatio(r float64, ok bool) string {
	switch {
	case !ok:
		return "–"
	case similar(r):
		return fmt.Sprintf("≈ %.2f", r)
	}
	return fmt.Sprintf("%.2f", r)
}

func (r *results) writeNotes(b *bytes.Buffer) {
	e := r.Environment
	fmt.Fprintf(b, "Rounds: %d, of which the medians are shown; %g s for each measurement; ≈ marks differences under %.0f %%. ",
		r.Rounds, r.Params.Measure.Seconds(), noise*100)
	fmt.Fprintf(b, "%s, %d × %s, %.1f GiB of memory, load average at start %s, took %s.\n\n",
		e.Kernel, e.CPUs, e.CPU, float64(e.MemoryBytes)/(1<<30), e.LoadAverage, r.Finished.Sub(r.Started).Round(time.Second))
	for _, t := range r.Targets {
		switch {
		case t.Unavailable != "":
			fmt.Fprintf(b, "- %s was not measured: %s\n", t.Title, oneLine(t.Unavailable))
		case t.Version != "":
			fmt.Fprintf(b, "- %s: %s\n", t.Title, t.Version)
		}
	}
	for _, f := range r.Failures {
		fmt.Fprintf(b, "- %s failed in %s: %s\n", f.Target, f.Scenario, oneLine(f.Error))
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
