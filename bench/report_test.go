package main

import (
	"errors"
	"strings"
	"testing"
)

func TestFormatNumber(t *testing.T) {
	for _, tt := range []struct {
		v    float64
		want string
	}{{0, "0"}, {0.12345, "0.123"}, {1.234, "1.23"}, {12.34, "12.3"}, {1234567.8, "1,234,568"}, {-1.5, "-1.50"}, {-983, "-983"}} {
		if got := formatNumber(tt.v); got != tt.want {
			t.Errorf("formatNumber(%v) = %s, want %s", tt.v, got, tt.want)
		}
	}
}

// testResults has a peer that is better, one that failed, one that is missing, and a
// reference that must not count as a peer.
func testResults() *results {
	cpu := figure{Scenario: "echo", Key: "cpu-64-1", Title: "CPU per round trip", Unit: "µs"}
	p99 := figure{Scenario: "echo", Key: "p99-64-1", Title: "round trip p99", Unit: "µs", WallClock: true}
	r := &results{
		Rounds: 3,
		Params: defaultParams(),
		Figures: []figureResult{
			{p99, map[string][]float64{}, map[string]float64{"holdfast": 300, "nginx": 200, "direct": 20, "caddy": 1}},
			{cpu, map[string][]float64{}, map[string]float64{"holdfast": 4, "nginx": 8}},
		},
	}
	r.available(target{name: "holdfast", title: "Holdfast", role: own}, "1")
	r.available(target{name: "nginx", title: "nginx", role: peer}, "2")
	r.available(target{name: "caddy", title: "Caddy", role: peer}, "3")
	r.unavailable(target{name: "haproxy", title: "HAProxy", role: peer}, errors.New("not\ninstalled"))
	r.available(target{name: "direct", title: "no proxy"}, "")
	r.failed(target{name: "caddy"}, scenario{name: "echo"}, errors.New("2 sessions failed"))
	return r
}

func TestMarkdown(t *testing.T) {
	want := `| figure, lower is better | Holdfast | nginx | Caddy | no proxy | Holdfast / best peer |
|---|--:|--:|--:|--:|--:|
| CPU per round trip (µs) | 4.00 | 8.00 | failed | – | 0.50 |
| **by the clock on the wall, which other work on the machine distorts** |  |  |  |  |  |
| round trip p99 (µs) | 300 | 200 | failed | 20.0 | 1.50 |

`
	got := string(testResults().markdown())
	table, notes, _ := strings.Cut(got, "Rounds: 3")
	if table != want {
		t.Errorf("table is\n%s\nwant\n%s", table, want)
	}
	for _, note := range []string{"- HAProxy was not measured: not installed\n", "- caddy failed in echo: 2 sessions failed\n"} {
		if !strings.Contains(notes, note) {
			t.Errorf("notes lack %q:\n%s", note, notes)
		}
	}
}
