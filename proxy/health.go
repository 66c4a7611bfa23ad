package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"
)

// probeInterval is how often an upstream that is down is tried.
const probeInterval = 2 * time.Second

// works notes that the upstream accepted a connection.
func (o *origin) works() {
	if o.down.Load() && o.down.CompareAndSwap(true, false) {
		o.gauges.SetUp(true)
	}
}

// fails notes that the upstream accepted none, and has it probed from then on:
// a proxy that is not ready is sent no client by whose handshake it could find
// out that the upstream is back.
func (o *origin) fails(log *slog.Logger, timeout time.Duration) {
	if o.down.Swap(true) {
		return
	}
	o.gauges.SetUp(false)
	log.Warn("upstream is down: it is probed until it accepts a connection", "upstream", o.name)
	if !o.probing.Swap(true) {
		go o.probe(log, timeout)
	}
}

// probe ends when the upstream is up, or the server shuts down.
func (o *origin) probe(log *slog.Logger, timeout time.Duration) {
	tick := time.NewTicker(o.probeEvery)
	defer tick.Stop()
	for o.down.Load() {
		select {
		case <-o.ended.Done():
			return
		case <-tick.C:
		}
		if o.reachable(timeout) {
			o.works()
		}
	}
	log.Info("upstream is up again", "upstream", o.name)
	o.probing.Store(false)
	if o.down.Load() && !o.probing.Swap(true) { // it went down in between, and fails left it to us
		go o.probe(log, timeout)
	}
}

func (o *origin) reachable(timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(o.ended, timeout)
	defer cancel()
	conn, err := o.connect(ctx)
	if err != nil {
		return false
	}
	defer conn.Close() // it was only asked whether it can be opened
	if o.tls != nil {
		return tls.Client(conn, o.tls()).HandshakeContext(ctx) == nil
	}
	return true
}
