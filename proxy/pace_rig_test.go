package proxy_test

import (
	"slices"
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// TLS delivers a record when all of it has come, so one read may bring more frames than the
// client has tokens for. All of them pass, in order, and the next ones wait.
func TestPaceOverTLS(t *testing.T) {
	t.Parallel()
	const rate = 2000
	r := newRig(t, func(cfg *proxy.Config) {
		secureClient(cfg)
		cfg.ClientPace = proxy.Pace{Frames: rate}
	})
	client, upstream := r.opens()
	sent := slices.Repeat([]wire.Frame{wire.Text("x")}, rate+rate/2)
	client.sendsBytes(wire.Encode(true, sent...)) // in records of the largest size; the kernels hold all of it
	upstream.wants("all of them", sent...)
	if r.metric("reads_throttled_total{client}") == 0 {
		t.Error("there was no pause")
	}
	client.sends(wire.Text("on"))
	upstream.wants("it goes on", wire.Text("on"))
}
