package main

import (
	"fmt"
	"time"
)

const fanOutRounds = 5

var fanOutScenario = scenario{
	name:  "fanout",
	about: "the backend sends one small message to each of many sessions",
	figures: func(p params) []figure {
		return []figure{
			{Key: "cpu", Title: fmt.Sprintf("CPU per message, fan-out to %s", grouped(p.Sessions)), Unit: "µs"},
			{Key: "time", Title: fmt.Sprintf("fan-out to %s, until the last has it", grouped(p.Sessions)), Unit: "ms", WallClock: true},
		}
	},
	run: runFanOut,
}

func runFanOut(c *client, p params) (map[string]float64, error) {
	fan := &fanOut{}
	if err := openIdle(c, p.Sessions, fan); err != nil {
		return nil, err
	}
	var control []*session
	if err := c.dial(c.backend, pathControl, kept{in: &control}); err != nil {
		return nil, err
	}
	if err := c.runUntil(answerLimit, func() bool { return len(control) == 1 }); err != nil {
		return nil, err
	}
	if err := c.runFor(p.Warmup); err != nil {
		return nil, err
	}
	begun := time.Now()
	cpu, err := c.cpuDuring(func() error {
		for range fanOutRounds {
			if err := fan.run(c, control[0], p.Sessions); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	values := map[string]float64{"time": float64(time.Since(begun)) / millisecond / fanOutRounds}
	if c.meter.present() {
		values["cpu"] = float64(cpu) / microsecond / float64(fanOutRounds*p.Sessions)
	}
	return values, nil
}

// run starts one fan-out of the backend, and waits until all sessions have its message.
func (f *fanOut) run(c *client, control *session, sessions int) error {
	f.round++
	f.received = 0
	if err := control.send(appendFrame(nil, opText, &loadMask, []byte("fan out"))); err != nil {
		return err
	}
	return c.runUntil(answerLimit, func() bool { return f.received == sessions })
}
