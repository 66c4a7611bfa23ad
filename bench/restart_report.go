package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// A restarted is what a crowd saw of a restart.
type restarted struct {
	sessions int           // that were open when the restart began
	told     map[int]int   // those that a Close has ended, by its code or noCode
	cut      int           // those that ended without a Close
	ends     []time.Time   // of all that have ended
	asked    []time.Time   // the attempts to connect again
	back     int           // clients with a new session
	replaced bool          // there was an old process
	gone     time.Duration // until the old process was gone; 0: it was there to the end
}

// kept returns how many sessions have not ended.
func (r *restarted) kept() int { return r.sessions - len(r.ends) }

// waiting returns how many clients have lost their session and have not got a new one.
func (r *restarted) waiting() int { return len(r.ends) - r.back }

// A restartReport is the table of restarts, with its notes.
type restartReport struct {
	sessions int
	watch    time.Duration // how long each proxy was watched
	ways     []restartColumn
	missing  []string // why programs were not measured
}

type restartColumn struct {
	restart
	version string
	*restarted
}

// A restartRow is a figure of the table.
type restartRow struct {
	title string
	cell  func(*restarted) string
}

func (report *restartReport) rows() []restartRow {
	within := fmt.Sprintf("%g s", report.watch.Seconds())
	return []restartRow{
		{"sessions ended by a Close, by its code", (*restarted).codes},
		{"sessions ended without a Close", func(r *restarted) string { return grouped(r.cut) }},
		{"sessions that had not ended after " + within, func(r *restarted) string { return grouped(r.kept()) }},
		{"from the first end to the last", (*restarted).span},
		{"until the old process was gone", func(r *restarted) string { return r.departure(within) }},
		{"attempts to connect again, at most in 100 ms", func(r *restarted) string { return grouped(peak(r.asked, 100*time.Millisecond)) }},
		{"attempts to connect again, at most in 1 s", func(r *restarted) string { return grouped(peak(r.asked, time.Second)) }},
		{"clients that got no new session", func(r *restarted) string { return grouped(r.waiting()) }},
	}
}

// broken returns an error if Holdfast has not told every client, or if a client did not get
// a new session.
func (report *restartReport) broken() error {
	for _, way := range report.ways {
		if way.role == own && (way.cut > 0 || way.kept() > 0 || way.waiting() > 0) {
			return fmt.Errorf("%s: %d sessions were cut, %d went on, %d clients got no new session",
				way.title, way.cut, way.kept(), way.waiting())
		}
	}
	return nil
}

// span returns how long it took until all that have ended had ended.
func (r *restarted) span() string {
	if len(r.ends) == 0 {
		return "–"
	}
	return seconds(extent(r.ends))
}

func (r *restarted) codes() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(r.told)) {
		name := fmt.Sprint(code)
		if code == noCode {
			name = "no code"
		}
		parts = append(parts, grouped(r.told[code])+" with "+name)
	}
	if parts == nil {
		return "0"
	}
	return strings.Join(parts, ", ")
}

// departure returns how long the old process lived on.
func (r *restarted) departure(within string) string {
	switch {
	case !r.replaced:
		return "there is none"
	case r.gone == 0:
		return "not within " + within
	}
	return seconds(r.gone)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func (report *restartReport) markdown() string {
	var b bytes.Buffer
	header := []string{fmt.Sprintf("of %s sessions", grouped(report.sessions))}
	for _, way := range report.ways {
		header = append(header, way.title)
	}
	writeRow(&b, header)
	b.WriteString("|---|" + strings.Repeat("--:|", len(report.ways)) + "\n")
	for _, figure := range report.rows() {
		row := []string{figure.title}
		for _, way := range report.ways {
			row = append(row, figure.cell(way.restarted))
		}
		writeRow(&b, row)
	}
	b.WriteString("\n| column | version | restarted by |\n|---|---|---|\n")
	for _, way := range report.ways {
		writeRow(&b, []string{way.title, way.version, way.how})
	}
	for _, why := range report.missing {
		writeRow(&b, []string{"not measured", why, ""})
	}
	return b.String()
}

// The table of a page stands between these lines.
const (
	restartsBegin = "<!-- make restarts writes this table -->\n"
	restartsEnd   = "<!-- end of the table of make restarts -->\n"
)

// replaceTable replaces the table of a page.
func replaceTable(page, table string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), restartsBegin)
	_, after, ends := strings.Cut(rest, restartsEnd)
	if !begins || !ends {
		return errors.New(page + " has no place for the table")
	}
	return os.WriteFile(page, []byte(before+restartsBegin+"\n"+table+"\n"+restartsEnd+after), 0o644)
}
