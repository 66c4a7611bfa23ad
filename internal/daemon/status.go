package daemon

import (
	"context"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/status"
)

// keepSampling samples what is counted until ctx ends.
func (d *Daemon) keepSampling(ctx context.Context) {
	ticks := time.NewTicker(status.SampleEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			d.book.Sample(now)
		}
	}
}

// variables returns settings as the admin listener shows them.
func variables(settings []config.Setting) []status.Variable {
	all := []status.Variable{}
	for _, s := range settings {
		source, from := s.Source()
		v := status.Variable{Name: s.Name, Value: s.Value, Source: string(source), From: from, Meaning: s.Plain(), Secret: s.IsSecret()}
		if v.Secret && v.Value != "" {
			v.Value = status.Hidden
		}
		all = append(all, v)
	}
	return all
}
