package main

import "fmt"

const idleCPU = "cpu" // key of a figure

var idleScenario = scenario{
	name:  "idle",
	about: "many sessions that say nothing",
	figures: func(p params) []figure {
		return []figure{
			{Key: "memory", Title: fmt.Sprintf("memory per idle session, from %s to %s", grouped(firstSessions(p)), grouped(p.Sessions)), Unit: "B"},
			// Only Holdfast sends heartbeats. Without them an idle proxy uses almost
			// no CPU time.
			{Key: idleCPU, Title: fmt.Sprintf("CPU of %s idle sessions, heartbeats included", grouped(p.Sessions)), Unit: "ms/s", NoRatio: true},
		}
	},
	run: runIdle,
}

// firstSessions is how many sessions are open when the growth of memory begins to be
// measured, so that memory that a proxy takes once does not count.
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
	// After this rest the proxy has freed what it used for opening the sessions.
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

// idleMemory opens more sessions, waits for params.Settle and reads the proxy's memory.
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
