package main

import (
	"fmt"
	"time"
)

const (
	mixedBusy = 100     // connections
	mixedSize = 1 << 10 // bytes
)

var mixedScenario = scenario{
	name:  "mixed",
	about: "100 busy sessions among many idle ones",
	figures: func(p params) []figure {
		what := fmt.Sprintf("%d busy among %s", mixedBusy, grouped(p.Sessions))
		return []figure{
			{Key: "cpu", Title: "CPU per round trip, " + what, Unit: "µs"},
			{Key: "p99", Title: "round trip p99, " + what, Unit: "µs", WallClock: true},
			// Both are measured on one instance, so most of the noise cancels out.
			{Key: "slowdown", Title: "the same, divided by that of the 100 alone", Unit: "×", WallClock: true, NoRatio: true},
			{Key: "lag", Title: "heartbeats sent late by, p99, " + what, Unit: "ms", WallClock: true},
		}
	},
	run: runMixed,
}

func runMixed(c *client, p params) (map[string]float64, error) {
	p.Measure *= 2 // long enough for some hundreds of heartbeats
	all, err := openEchoes(c, mixedBusy, mixedSize)
	if err != nil {
		return nil, err
	}
	alone, err := all.measure(c, p)
	if err != nil {
		return nil, err
	}
	if err := openIdle(c, p.Sessions-mixedBusy, &fanOut{}); err != nil {
		return nil, err
	}
	before, err := pingLag(c.metrics)
	if err != nil {
		return nil, err
	}
	result, err := all.measure(c, p)
	if err != nil {
		return nil, err
	}
	after, err := pingLag(c.metrics)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{"p99": result.p99, "slowdown": result.p99 / alone.p99}
	if c.meter.present() {
		values["cpu"] = result.cpu
	}
	if lag, ok := after.since(before).quantile(0.99); ok {
		values["lag"] = lag * float64(time.Second) / millisecond
	}
	return values, nil
}
