package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRestartReport(t *testing.T) {
	start := time.Now()
	report := restartReport{sessions: 3, watch: 20 * time.Second, missing: []string{"caddy is not installed"}, ways: []restartColumn{
		{restart{target: target{title: "A", role: own}, how: "SIGTERM"}, "1.0", &restarted{
			sessions: 3, told: map[int]int{1012: 1, noCode: 1}, cut: 1, back: 2, replaced: true, gone: 1500 * time.Millisecond,
			ends: []time.Time{start, start, start.Add(time.Second)}, asked: []time.Time{start, start, start.Add(time.Second)},
		}},
		{restart{target: target{title: "B", role: peer}, how: "a reload"}, "2.0", &restarted{sessions: 3, replaced: true}},
		{restart{target: target{title: "C", role: peer}, how: "a reload"}, "3.0", &restarted{sessions: 3}},
	}}
	text := report.markdown()
	for _, row := range []string{
		"| of 3 sessions | A | B | C |",
		"| sessions ended by a Close, by its code | 1 with no code, 1 with 1012 | 0 | 0 |",
		"| sessions ended without a Close | 1 | 0 | 0 |",
		"| sessions that had not ended after 20 s | 0 | 3 | 3 |",
		"| from the first end to the last | 1.0 s | – | – |",
		"| until the old process was gone | 1.5 s | not within 20 s | there is none |",
		"| attempts to connect again, at most in 1 s | 2 | 0 | 0 |",
		"| clients that got no new session | 1 | 0 | 0 |",
		"| A | 1.0 | SIGTERM |",
		"| not measured | caddy is not installed |  |",
	} {
		if !strings.Contains(text, row+"\n") {
			t.Errorf("there is no row %q in\n%s", row, text)
		}
	}
}

// The others may do as they like. Holdfast must tell every client, and all must come back.
func TestRestartReportIsBroken(t *testing.T) {
	moment := []time.Time{{}}
	for _, tt := range []struct {
		name string
		role targetRole
		restarted
		ok bool
	}{
		{"told and back", own, restarted{sessions: 1, ends: moment, back: 1}, true},
		{"cut", own, restarted{sessions: 1, ends: moment, cut: 1, back: 1}, false},
		{"not ended", own, restarted{sessions: 1}, false},
		{"not back", own, restarted{sessions: 1, ends: moment}, false},
		{"another proxy", peer, restarted{sessions: 2, ends: moment, cut: 1}, true},
	} {
		report := restartReport{ways: []restartColumn{{restart{target: target{role: tt.role}}, "", &tt.restarted}}}
		if err := report.broken(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestReplaceTable(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + restartsBegin + "old\n" + restartsEnd + "after\n")
	if err := replaceTable(page, "| new |\n"); err != nil {
		t.Fatal(err)
	}
	want := "before\n" + restartsBegin + "\n| new |\n\n" + restartsEnd + "after\n"
	if got, err := os.ReadFile(page); string(got) != want || err != nil {
		t.Errorf("the page is %q (%v), want %q", got, err, want)
	}
	write("before\n" + restartsEnd)
	if err := replaceTable(page, "| new |\n"); err == nil {
		t.Error("a page without a place for the table is no error")
	}
}
