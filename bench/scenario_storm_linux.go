package main

import "fmt"

var stormScenario = scenario{
	name:  "storm",
	about: "many sessions come at once and go again",
	once:  true,
	figures: func(p params) []figure {
		return []figure{
			{Key: "peak", Title: fmt.Sprintf("memory added by a storm of %s sessions", grouped(p.Sessions)), Unit: "MiB"},
			{Key: "kept", Title: fmt.Sprintf("of it still held %g s after they closed", p.Rest.Seconds()), Unit: "MiB"},
		}
	},
	run: runStorm,
	afterRest: func(values map[string]float64, memory uint64) {
		values["kept"] = float64(memory)/mebibyte - values["start"]
	},
}

func runStorm(c *client, p params) (map[string]float64, error) {
	if !c.meter.present() {
		return nil, nil
	}
	start, err := c.meter.memory()
	if err != nil {
		return nil, err
	}
	var sessions []*session
	if err := c.openSessions(p.Sessions, pathIdle, func() role { return kept{in: &sessions} }); err != nil {
		return nil, err
	}
	peak, err := c.meter.memory()
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"start": float64(start) / mebibyte,
		"peak":  (float64(peak) - float64(start)) / mebibyte,
	}, c.closeSessions(sessions)
}
