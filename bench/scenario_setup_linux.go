package main

import (
	"errors"
	"time"
)

const setupConns = 32

var setupScenario = scenario{
	name:  "setup",
	about: "connect, upgrade, close handshake, over and over on 32 connections",
	figures: func(params) []figure {
		return []figure{
			{Key: "cpu", Title: "CPU per session opened and closed", Unit: "µs"},
			{Key: "p50", Title: "open and close a session, p50", Unit: "ms", WallClock: true},
			{Key: "p99", Title: "open and close a session, p99", Unit: "ms", WallClock: true},
		}
	},
	run: runSetup,
}

// setups are sessions that follow each other in a closed loop.
type setups struct {
	client    *client
	again     bool
	durations []time.Duration
}

// next opens a session. When it has closed, the next one follows.
func (all *setups) next() error {
	begun := time.Now()
	return all.client.dial(all.client.proxy, pathEcho, visit{done: func() {
		all.durations = append(all.durations, time.Since(begun))
		if !all.again {
			return
		}
		if err := all.next(); err != nil {
			all.client.fail(err)
		}
	}})
}

func runSetup(c *client, p params) (map[string]float64, error) {
	all := &setups{client: c, again: true}
	for range setupConns {
		if err := all.next(); err != nil {
			return nil, err
		}
	}
	if err := c.runFor(p.Warmup); err != nil {
		return nil, err
	}
	all.durations = all.durations[:0]
	cpu, err := c.cpuDuring(func() error { return c.runFor(p.Measure) })
	if err != nil {
		return nil, err
	}
	measured := all.durations
	if len(measured) == 0 {
		return nil, errors.Join(errors.New("no session was opened and closed during the measurement"), c.failure())
	}
	all.again, all.durations = false, nil
	err = c.runUntil(answerLimit, func() bool { return c.dialing+c.closing == 0 })
	values := map[string]float64{
		"p50": float64(percentile(measured, 0.50)) / millisecond,
		"p99": float64(percentile(measured, 0.99)) / millisecond,
	}
	if c.meter.present() {
		values["cpu"] = float64(cpu) / microsecond / float64(len(measured))
	}
	return values, err
}
