// Package prometheus_test holds the alerts to the metrics that there are and to the
// runbook. promtool_test.go runs promtool on them.
package prometheus_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/fixture"
)

const exposition = "../../metrics/testdata/busy.prom"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A rule is one alert of holdfast.rules.yml. Two rules may have one name.
type rule struct{ name, text string }

// rules are the rules of the file, in its order.
func rules(t *testing.T) (all []rule) {
	t.Helper()
	for i, text := range strings.Split(read(t, "holdfast.rules.yml"), "- alert: ") {
		if i > 0 {
			name, _, _ := strings.Cut(text, "\n")
			all = append(all, rule{name, text})
		}
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

func TestAlertsNameMetricsThatExist(t *testing.T) {
	known := fixture.Families(t, exposition)
	comment := regexp.MustCompile(`(?m)^ *#.*$`)
	for _, r := range rules(t) {
		if r.name != "HoldfastAbsent" { // it asks for no metric of ours
			fixture.WantsKnown(t, known, r.name, comment.ReplaceAllString(r.text, ""))
		}
	}
}

func TestAlertsSayWhatAnOperatorNeeds(t *testing.T) {
	for _, r := range rules(t) {
		if !strings.HasPrefix(r.name, "Holdfast") {
			t.Errorf("%s does not begin with Holdfast", r.name)
		}
		for _, field := range []string{"severity: (critical|warning)", `summary: "[^"]+"`, `description: "[^"]+"`,
			"runbook_url: docs/runbook.md#" + strings.ToLower(r.name)} {
			if !regexp.MustCompile(`(?m)^ +` + field + `$`).MatchString(r.text) {
				t.Errorf("%s has no line %s", r.name, field)
			}
		}
	}
}

// The line of deploy/README.md puts an address before the runbook_url of each alert.
func TestReadmeGivesTheRunbookAnAddress(t *testing.T) {
	found := regexp.MustCompile(`sed -i 's\|([^|]+)\|&(https://[^|]+/)\|' holdfast\.rules\.yml`).FindStringSubmatch(read(t, "../README.md"))
	if found == nil {
		t.Fatal("deploy/README.md has no such line")
	}
	changed := strings.ReplaceAll(read(t, "holdfast.rules.yml"), found[1], found[1]+found[2])
	if n := strings.Count(changed, "runbook_url: "+found[2]+"docs/runbook.md#"); n != len(rules(t)) {
		t.Errorf("%d of %d alerts have the address", n, len(rules(t)))
	}
}

// Each alert fires in one case, and is silent in one.
func TestAlertsHaveCases(t *testing.T) {
	cases := read(t, "holdfast.rules.test.yml")
	for _, r := range rules(t) {
		severity := regexp.MustCompile(`severity: (\w+)`).FindStringSubmatch(r.text)[1]
		summary := regexp.MustCompile(`summary: "([^"]+)"`).FindStringSubmatch(r.text)[1]
		// The labels in the summary have values in the cases.
		parts := regexp.MustCompile(`\{\{[^}]*\}\}`).Split(summary, -1)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		silent := `alertname: ` + r.name + `\n +eval_time: \S+\n +exp_alerts: \[\]\n`
		fires := `severity: "` + severity + `"(?:\n +\w+: "[^"\n]*")*\n +exp_annotations:\n +summary: "` + strings.Join(parts, `[^"\n]*`) + `"\n`
		for what, want := range map[string]string{"is silent": silent, "fires": fires} {
			if !regexp.MustCompile(want).MatchString(cases) {
				t.Errorf("there is no case in which %s (%s) %s", r.name, severity, what)
			}
		}
	}
}

// runbookSections are the sections of the runbook, by heading.
func runbookSections(t *testing.T) map[string]string {
	t.Helper()
	sections := make(map[string]string)
	for i, text := range strings.Split(read(t, "../../docs/runbook.md"), "\n## ") {
		if i > 0 {
			heading, body, _ := strings.Cut(text, "\n")
			sections[heading] = body
		}
	}
	return sections
}

func TestRunbookHasASectionForEachAlert(t *testing.T) {
	sections := runbookSections(t)
	for _, heading := range []string{"Whose fault is it?", "Before you restart Holdfast", "Take a node out",
		"Run check with the environment of the service", "The service is being deployed", "How many can one node hold?", "Read one session's log line"} {
		if sections[heading] == "" {
			t.Errorf("the runbook has no section %q", heading)
		}
	}
	var names []string
	for _, r := range rules(t) {
		names = append(names, r.name)
		at := 0
		for _, part := range []string{"**Users**", "**First look**", "**Likely causes**", "**Do**", "**Do not**", "**Over**"} {
			next := strings.Index(sections[r.name][at:], "\n- "+part)
			if next < 0 {
				t.Fatalf("the section %s has no %s, or in another place", r.name, part)
			}
			at += next
		}
	}
	for heading := range sections {
		if strings.HasPrefix(heading, "Holdfast") && !slices.Contains(names, heading) {
			t.Errorf("the runbook has a section for %s, which is not an alert", heading)
		}
	}
}

func TestRunbookNamesMetricsThatExist(t *testing.T) {
	known := fixture.Families(t, exposition)
	fixture.WantsKnown(t, known, "the runbook", read(t, "../../docs/runbook.md"))
}

// A figure of the runbook stands in the rules, or in the documents that the runbook links
// to, whose figures have tests of their own.
func TestRunbookInventsNoFigures(t *testing.T) {
	figure := regexp.MustCompile(`\d+(?:[.,]\d+)*`)
	stands := make(map[string]bool)
	for _, source := range []string{"holdfast.rules.yml", "../../docs/operating.md", "../../docs/configuration.md",
		"../../docs/performance.md", "../../docs/restarts.md"} {
		for _, number := range figure.FindAllString(read(t, source), -1) {
			stands[number] = true
		}
	}
	text := regexp.MustCompile(`\]\([^)]*\)`).ReplaceAllString(read(t, "../../docs/runbook.md"), "]")
	for line := range strings.Lines(text) {
		if regexp.MustCompile(`^\d\. `).MatchString(line) {
			line = line[2:] // the number of a list's item
		}
		for _, number := range figure.FindAllString(line, -1) {
			if !stands[number] && number != "192.0.2.7" { // an address for examples
				t.Errorf("the runbook has the figure %s, which stands nowhere else: %s", number, line)
			}
		}
	}
}
