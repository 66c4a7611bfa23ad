package main

import (
	"bytes"
	"fmt"
	"math"
)

// sized are the numbers of sessions in the sizing table.
var sized = []int{10_000, 100_000, 1_000_000}

const (
	localPorts       = 28_232 // 32768 to 60999: the default of net.ipv4.ip_local_port_range
	sizingInterval   = 20     // seconds from ping to ping
	pingsPerInterval = 2      // one on each leg
)

// writeSizing writes a table of what many sessions take: the figures of one session of
// Holdfast, multiplied. It writes nothing if those were not measured.
func (r *results) writeSizing(b *bytes.Buffer) {
	process := r.ofHoldfast(scaleScenario.name, scaleProcess)
	kernel := r.ofHoldfast(scaleScenario.name, scaleCaches)
	cpu := r.ofHoldfast(idleScenario.name, idleCPU)
	if math.IsNaN(process + kernel + cpu) {
		return
	}
	fmt.Fprintf(b, "What sessions need by these figures, with heartbeats every %d s:\n\n", sizingInterval)
	writeRow(b, []string{"sessions", "process memory (GiB)", "kernel memory (GiB)", "descriptors",
		"local addresses × upstream addresses", "pings per second", "CPU for heartbeats (cores)"})
	b.WriteString("|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, n := range sized {
		sessions := float64(n)
		writeRow(b, []string{
			grouped(n),
			formatNumber(sessions * process / (1 << 30)),
			formatNumber(sessions * kernel / (1 << 30)),
			grouped(2 * n),
			grouped((n + localPorts - 1) / localPorts),
			grouped(n * pingsPerInterval / sizingInterval),
			formatNumber(sessions / float64(r.Params.Sessions) * cpu / 1000),
		})
	}
	b.WriteString("\n")
}

// ofHoldfast returns a figure of Holdfast, or NaN if there is none.
func (r *results) ofHoldfast(scenario, key string) float64 {
	for _, f := range r.Figures {
		if f.Scenario == scenario && f.Key == key {
			return r.value(f, holdfastName)
		}
	}
	return math.NaN()
}
