package main

import "fmt"

const idleCPU = "cpu" // key of a figure

var idleScenario = scenario{
	name:  "idle",
	about: "many sessions that say nothing",
	figures: func(p params) []figure {
		return []figure{
			{Key: "memory", Title: fmt.Sprintf("memory per idle session, from %s to %s", grouped(firstSessions(p)), grouped(p.Sessions)), Unit: "B"},
			// Of the proxies only Holdfast sends heartbeats; without them, one at rest uses next to nothing.
			{Key: idleCPU, Title: fmt.Sprintf("CPU of %s idle sessions, heartbeats included", grouped(p.Sessions)), Unit: "ms/s", NoRatio: true},
		}
	},
	run: runIdle,
}

// firstSessions is where the growth of memory is measured from, so that what a proxy
// sets up once does not count.
func firstSessions(p params) int { return p.Sessions / 9 }

func runIdle(c *client, p params) (map[string]float64, error) {
	if !c.meter.present() {
		return nil, nil
	}
	before, err := idleMemory(c, p, firstSessions(p))
	if err != nil {
		return nil, err
	}
	more := p.Sessions - firstSessions(p)
	after, err := idleMemory(c, p, more)
	if err != nil {
		return nil, err
	}
	// By the end of as long a rest, whatever tidies up after the opening has done so.
	if err := c.runFor(p.Idle); err != nil {
		return nil, err
	}
	cpu, err := c.cpuDuring(func() error { return c.runFor(p.Idle) })
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"memory": (float64(after) - float64(before)) / float64(more),
		idleCPU:  float64(cpu) / millisecond / p.Idle.Seconds(),
	}, nil
}

// idleMemory opens more sessions and reads the proxy's memory when it has settled.
func idleMemory(c *client, p params, more int) (uint64, error) {
	if err := openIdle(c, more, &fanOut{}); err != nil {
		return 0, err
	}
	if err := c.runFor(p.Settle); err != nil {
		return 0, err
	}
	return c.meter.memory()
}

func openIdle(c *client, n int, fan *fanOut) error {
	return c.openSessions(n, pathIdle, func() role { return &idle{fan: fan} })
}
