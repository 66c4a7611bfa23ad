// Package grafana_test holds the dashboard to its structure and to the metrics that there
// are. promtool_test.go parses its expressions, and the end-to-end tests ask a Prometheus
// for each of them.
package grafana_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/fixture"
)

type source struct{ Type, UID string }

type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Annotations struct {
		List []struct {
			Name, Expr string
			Datasource source
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		RefID, Expr, Format string
		Datasource          source
	}
}

func load(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("holdfast.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expressions are those of all panels and annotations, by what they are for.
func (d dashboard) expressions() map[string]string {
	all := make(map[string]string)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = target.Expr
		}
	}
	for _, a := range d.Annotations.List {
		all[a.Name] = a.Expr
	}
	return all
}

func TestDashboardIsWellFormed(t *testing.T) {
	d := load(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 {
		t.Error("the dashboard lacks uid, title or schemaVersion")
	}
	taken := map[[2]int]string{} // the cells of the grid
	ids := map[int]bool{}
	prometheus := source{"prometheus", "${datasource}"}
	var rows []string
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("the panel %q has no title, or the id of another", p.Title)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%s stands outside of the 24 columns", p.Title)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource != prometheus || len(p.Targets) == 0 {
			t.Errorf("%s lacks a description, a unit, the data source or a query", p.Title)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.RefID == "" || refs[target.RefID] || target.Expr == "" || target.Datasource != prometheus {
				t.Errorf("%s: query %q has no name, no expression or another data source", p.Title, target.RefID)
			}
			refs[target.RefID] = true
			if p.Type == "heatmap" && (target.Format != "heatmap" || !strings.Contains(target.Expr, "_bucket{")) {
				t.Errorf("%s does not show classic buckets", p.Title)
			}
		}
	}
	want := []string{"Now", "Why sessions end", "Keepalive", "Handshakes", "Upstreams", "Traffic and backpressure", "Process"}
	if !slices.Equal(rows, want) {
		t.Errorf("the rows are %q, want %q", rows, want)
	}
}

func TestDashboardUsesItsVariables(t *testing.T) {
	d := load(t)
	known := []string{"__rate_interval", "__range"} // Grafana's own
	for _, v := range d.Templating.List {
		known = append(known, v.Name)
	}
	for what, expr := range d.expressions() {
		for _, found := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(expr, -1) {
			if !slices.Contains(known, found[1]) {
				t.Errorf("%s: there is no variable %s", what, found[1])
			}
		}
		for _, selector := range regexp.MustCompile(`\{[^}]*\}`).FindAllString(expr, -1) {
			if !strings.HasPrefix(selector, `{job=~"$job", instance=~"$instance"`) && !strings.HasPrefix(expr, "ALERTS{") {
				t.Errorf("%s: %s does not select job and instance", what, selector)
			}
		}
	}
}

func TestDashboardNamesMetricsThatExist(t *testing.T) {
	known := fixture.Families(t, "../../metrics/testdata/busy.prom")
	all := ""
	for what, expr := range load(t).expressions() {
		all += expr + "\n"
		if strings.Contains(expr, "holdfast_") {
			fixture.WantsKnown(t, known, what, expr)
		}
	}
	text, err := os.ReadFile("holdfast.json")
	if err != nil || !bytes.HasSuffix(text, []byte("}\n")) {
		t.Fatalf("the file does not end in a line: %v", err)
	}
	// What is exposed is shown.
	for name := range known {
		histogram := known[name+"_bucket"]
		part := strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum")
		if !histogram && !part && !strings.Contains(all, name+"{") {
			t.Errorf("no panel shows %s", name)
		}
	}
}
