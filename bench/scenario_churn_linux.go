package main

import (
	"fmt"
	"time"
)

const (
	churnEchoes   = 64      // connections
	churnEchoSize = 1 << 10 // bytes
	churnEchoRate = 2000    // round trips a second
	churnRate     = 200     // sessions opened and closed a second
)

var churnScenario = scenario{
	name:  "churn",
	about: "a fixed rate of short sessions beside a fixed rate of echoes",
	figures: func(params) []figure {
		what := fmt.Sprintf("%d short sessions/s beside %s round trips/s", churnRate, grouped(churnEchoRate))
		return []figure{
			{Key: "cpu", Title: "CPU of " + what, Unit: "ms/s"},
			{Key: "p99", Title: "round trip p99, " + what, Unit: "µs", WallClock: true},
		}
	},
	run: runChurn,
}

func runChurn(c *client, p params) (map[string]float64, error) {
	all, err := openEchoes(c, churnEchoes, churnEchoSize)
	if err != nil {
		return nil, err
	}
	if err := churn(c, all, p.Warmup); err != nil {
		return nil, err
	}
	all.latencies = all.latencies[:0]
	cpu, err := c.cpuDuring(func() error { return churn(c, all, p.Measure) })
	if err != nil {
		return nil, err
	}
	values := map[string]float64{"p99": float64(percentile(all.latencies, 0.99)) / microsecond}
	if c.meter.present() {
		values["cpu"] = float64(cpu) / millisecond / p.Measure.Seconds()
	}
	return values, nil
}

// churn does a fixed amount of work and returns when all of it is done. Otherwise a proxy
// that is late would do less work, and seem to use less.
func churn(c *client, all *echoes, over time.Duration) error {
	start := time.Now()
	echoPace, visitPace := paceOf(churnEchoRate, over, start), paceOf(churnRate, over, start)
	next := 0
	for deadline := start.Add(over + answerLimit); echoPace.left+visitPace.left+all.waiting+c.dialing+c.closing > 0; {
		now := time.Now()
		for visitPace.due(now) {
			if err := c.dial(c.proxy, pathEcho, visit{done: func() {}}); err != nil {
				return err
			}
		}
		for all.waiting < len(all.sessions) && echoPace.due(now) {
			for all.sessions[next].waiting {
				next = (next + 1) % len(all.sessions)
			}
			if err := all.sessions[next].send(); err != nil {
				return err
			}
			next = (next + 1) % len(all.sessions)
		}
		if c.failed > 0 {
			return c.failure()
		}
		if err := c.tick(deadline); err != nil {
			return err
		}
	}
	return nil
}
