//go:build faults

package faults

import (
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// floodBound is what the proxy may still read of a peer that floods a session whose
// end it was told of. What is thrown away is to be 1 MiB from the moment at which
// the Close is acknowledged; before that, what comes in the time that an
// acknowledgement takes on a busy machine.
const floodBound = 32 << 20

// A peer that goes on sending at full speed after the other was lost, and does not
// answer the Close that it is sent, is not read for ever.
func TestFloodAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"upstream", "client"} {
		t.Run("from the "+side, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			proxy := startHoldfast(t, n) // with a close timeout of 10 s
			upstream := startUpstream(t, n, behaviour{Mute: side == "upstream"})
			client := startClient(t, n, behaviour{Mute: side == "client"})
			floods, dies := upstream, client
			if side == "client" {
				floods, dies = client, upstream
			}
			received := blackbox.OfSide("holdfast_received_bytes_total", side)

			// Nothing is read of the flood while its receiver is frozen and all buffers are full.
			dies.Freezes()
			floods.does(command{Do: "flood", Size: chunkSize})
			proxy.Until("the flood stands still", stands(func() float64 { return proxy.Metric(received) }))
			before, cpu, began := proxy.Metric(received), proxy.cpu(), time.Now()
			dies.IsKilled()
			e := floods.wants("ended", 1)
			took := time.Since(began)
			proxy.WantsMetric("holdfast_sessions_active", 0)
			t.Logf("its connection ended after %v (%s); %.0f bytes were read and %v of CPU were used since",
				took, e.Error, proxy.Metric(received)-before, proxy.cpu()-cpu)
			if read := proxy.Metric(received) - before; read > floodBound {
				t.Errorf("%.0f bytes were read after the end, want at most %d", read, floodBound)
			}
			if used := proxy.cpu() - cpu; used > time.Second {
				t.Errorf("%v of CPU were used after the end, want at most 1 s", used)
			}
		})
	}
}

// standstill is how long nothing must have come for a flood to stand.
const standstill = time.Second

// stands returns a condition: the value has not changed for that long.
func stands(value func() float64) func() bool {
	last, since := value(), time.Now()
	return func() bool {
		now := value()
		if now != last {
			last, since = now, time.Now()
		}
		return now > 0 && time.Since(since) > standstill
	}
}
