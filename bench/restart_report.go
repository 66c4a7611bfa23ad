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
	told     map[int]int   // of them by the code of the Close that ended them
	cut      int           // of them that ended without a Close
	ends     []time.Time   // of them
	asked    []time.Time   // every attempt to connect again
	back     int           // clients with a new session
	replaced bool          // there are old processes
	gone     time.Duration // after which the old processes were gone; 0: not in time
}

// kept returns how many sessions have not ended.
func (r *restarted) kept() int { return r.sessions - len(r.ends) }

// A restartReport is the table of restarts, with its notes.
type restartReport struct {
	sessions int
	ways     []restartColumn
	missing  []string // why programs were not measured
}

type restartColumn struct {
	title, how, version string
	*restarted
}

// restartRows are the figures of the table.
var restartRows = []struct {
	title string
	cell  func(*restarted) string
}{
	{"sessions ended by a Close, by its code", (*restarted).codes},
	{"sessions ended without a Close", func(r *restarted) string { return grouped(r.cut) }},
	{fmt.Sprintf("sessions that went on, and still did after %g s", restartLimit.Seconds()), func(r *restarted) string { return grouped(r.kept()) }},
	{"from the first end to the last", (*restarted).span},
	{"until the old process was gone", (*restarted).departure},
	{"attempts to connect again, at most in 100 ms", func(r *restarted) string { return grouped(peak(r.asked, 100*time.Millisecond)) }},
	{"attempts to connect again, at most in 1 s", func(r *restarted) string { return grouped(peak(r.asked, time.Second)) }},
	{"clients that got no new session", func(r *restarted) string { return grouped(len(r.ends) - r.back) }},
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
func (r *restarted) departure() string {
	switch {
	case !r.replaced:
		return "there is none"
	case r.gone == 0:
		return fmt.Sprintf("not within %g s", restartLimit.Seconds())
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
	for _, figure := range restartRows {
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
