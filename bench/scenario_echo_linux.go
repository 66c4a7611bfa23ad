package main

import (
	"errors"
	"fmt"
)

var echoScenario = scenario{
	name:    "echo",
	about:   "each connection sends its next message when the last has come back",
	figures: echoFigures,
	run:     runEcho,
}

func echoFigures(p params) []figure {
	var figures []figure
	for _, size := range p.EchoSizes {
		for _, conns := range p.EchoConns {
			what := fmt.Sprintf("%s on %s", sizeName(size), connections(conns))
			figures = append(figures,
				figure{Key: echoKey("cpu", size, conns), Title: "CPU per round trip, " + what, Unit: "µs"},
				figure{Key: echoKey("p50", size, conns), Title: "round trip p50, " + what, Unit: "µs", WallClock: true},
				figure{Key: echoKey("p99", size, conns), Title: "round trip p99, " + what, Unit: "µs", WallClock: true})
		}
	}
	return figures
}

func echoKey(name string, size, conns int) string { return fmt.Sprintf("%s-%d-%d", name, size, conns) }

func runEcho(c *client, p params) (map[string]float64, error) { return runEchoOf(c, p, opBinary) }

// runEchoOf measures echoes of messages of an opcode.
func runEchoOf(c *client, p params, opcode byte) (map[string]float64, error) {
	values := make(map[string]float64)
	for _, size := range p.EchoSizes {
		for _, conns := range p.EchoConns {
			trips, err := measureEcho(c, p, opcode, size, conns)
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", sizeName(size), connections(conns), err)
			}
			values[echoKey("p50", size, conns)] = trips.p50
			values[echoKey("p99", size, conns)] = trips.p99
			if c.meter.present() {
				values[echoKey("cpu", size, conns)] = trips.cpu
			}
		}
	}
	return values, nil
}

// echoResult holds figures in microseconds.
type echoResult struct{ cpu, p50, p99 float64 }

// measureEcho opens sessions, measures a closed loop of echoes on them, and closes them.
func measureEcho(c *client, p params, opcode byte, size, conns int) (echoResult, error) {
	all, err := openEchoesOf(c, opcode, conns, size)
	if err != nil {
		return echoResult{}, err
	}
	result, err := all.measure(c, p)
	if err != nil {
		return echoResult{}, err
	}
	return result, all.close(c)
}

// measure measures a closed loop of echoes on the open sessions.
func (all *echoes) measure(c *client, p params) (echoResult, error) {
	if err := all.start(); err != nil {
		return echoResult{}, err
	}
	if err := c.runFor(p.Warmup); err != nil {
		return echoResult{}, err
	}
	all.latencies = all.latencies[:0]
	cpu, err := c.cpuDuring(func() error { return c.runFor(p.Measure) })
	if err != nil {
		return echoResult{}, err
	}
	trips := all.latencies
	all.latencies = nil
	if len(trips) == 0 {
		return echoResult{}, errors.Join(errors.New("no answer arrived during the measurement"), c.failure())
	}
	return echoResult{
		cpu: float64(cpu) / microsecond / float64(len(trips)),
		p50: float64(percentile(trips, 0.50)) / microsecond,
		p99: float64(percentile(trips, 0.99)) / microsecond,
	}, all.stop(c)
}
