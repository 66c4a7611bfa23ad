package main

import (
	"fmt"
	"strings"
	"time"
)

// params are the dimensions of a run.
type params struct {
	Sessions    int           `json:"sessions"`   // in scenarios with many sessions
	Warmup      time.Duration `json:"warmup_ns"`  // load before a measurement
	Measure     time.Duration `json:"measure_ns"` // of one measurement
	Idle        time.Duration `json:"idle_ns"`    // of one measurement of idle sessions
	Settle      time.Duration `json:"settle_ns"`  // rest between opening sessions and reading their memory
	Held        int           `json:"held"`       // connections of one kind whose memory is measured
	Hold        time.Duration `json:"hold_ns"`    // rest before their memory is read: long enough for the proxy to free memory
	Rest        time.Duration `json:"rest_ns"`    // from the end of a storm to reading the proxy's memory
	EchoSizes   []int         `json:"echo_bytes"`
	EchoConns   []int         `json:"echo_connections"`
	BulkSizes   []int         `json:"bulk_bytes"`
	TracedTrips int           `json:"traced_round_trips"` // under the system call tracer
}

// defaultParams returns the dimensions of a run of about half an hour.
func defaultParams() params {
	return params{
		Sessions:    9000,
		Warmup:      200 * time.Millisecond,
		Measure:     time.Second,
		Idle:        10 * time.Second,
		Settle:      2 * time.Second,
		Held:        300,
		Hold:        12 * time.Second,
		Rest:        30 * time.Second,
		EchoSizes:   []int{64, 1 << 10, 16 << 10},
		EchoConns:   []int{1, 64, 1000},
		BulkSizes:   []int{64 << 10, 1 << 20},
		TracedTrips: 20000,
	}
}

// quickParams returns the dimensions of a smoke run of about a minute. The run shows that
// everything works, but is too short for reliable figures.
func quickParams() params {
	return params{
		Sessions:    500,
		Warmup:      20 * time.Millisecond,
		Measure:     120 * time.Millisecond,
		Idle:        time.Second,
		Settle:      200 * time.Millisecond,
		Held:        50,
		Hold:        200 * time.Millisecond,
		Rest:        2 * time.Second,
		EchoSizes:   []int{64, 16 << 10},
		EchoConns:   []int{1, 64},
		BulkSizes:   []int{1 << 20},
		TracedTrips: 2000,
	}
}

// A figure is one line of the table. Lower is always better.
type figure struct {
	Scenario string `json:"scenario"`
	Key      string `json:"key"` // unique within the scenario
	Title    string `json:"title"`
	Unit     string `json:"unit"`
	// WallClock figures also depend on the machine's other work. The others count what
	// the proxy itself used.
	WallClock bool `json:"wall_clock"`
	// NoRatio figures are shown but not compared, because the proxies do different work
	// or do not take part in them.
	NoRatio bool `json:"no_ratio,omitempty"`
}

// A scenario is one kind of load and the figures it yields.
type scenario struct {
	name    string
	about   string
	once    bool // measured in one round, because more rounds would not differ
	tls     bool // between the clients and the proxy
	figures func(p params) []figure
	// run runs in the load process, with a proxy that was started for it.
	run func(c *client, p params) (map[string]float64, error)
	// afterRest, if it is not nil, is called params.Rest after run has returned. memory
	// is the proxy's then. afterRest adds figures to values.
	afterRest func(values map[string]float64, memory uint64)
}

// scenarios returns all scenarios in the order of the table.
func scenarios() []scenario {
	return []scenario{
		idleScenario, setupScenario, echoScenario, textEchoScenario, syscallScenario, bulkScenario,
		fanOutScenario, churnScenario, mixedScenario, scrapeScenario, floodScenario, stormScenario,
		tlsIdleScenario, tlsSetupScenario, tlsEchoScenario, tlsBulkScenario, scaleScenario,
		blockedScenario, handshakeScenario, pageScenario, tlsBlockedScenario, tlsHandshakeScenario, tlsPageScenario,
	}
}

func scenarioNamed(name string) (scenario, error) {
	for _, s := range scenarios() {
		if s.name == name {
			return s, nil
		}
	}
	return scenario{}, fmt.Errorf("no scenario %q; there are: %s", name, strings.Join(scenarioNames(), ", "))
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// figuresOf returns a scenario's figures, each with the scenario's name.
func figuresOf(s scenario, p params) []figure {
	figures := s.figures(p)
	for i := range figures {
		figures[i].Scenario = s.name
	}
	return figures
}

// Units, as divisors.
const (
	microsecond = float64(time.Microsecond)
	millisecond = float64(time.Millisecond)
	mebibyte    = float64(1 << 20)
	gigabyte    = 1e9
)

// sizeName returns a message size for a title.
func sizeName(bytes int) string {
	switch {
	case bytes >= 1<<20 && bytes%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 1<<10 && bytes%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d B", bytes)
}

// grouped returns an integer with commas between thousands.
func grouped(n int) string {
	if n < 0 {
		return "-" + grouped(-n)
	}
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// connections returns a number of connections for a title.
func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return grouped(n) + " connections"
}
