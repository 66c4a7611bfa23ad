package proxy

import "time"

// probeInterval is how often an upstream that is down is tried.
const probeInterval = 2 * time.Second

// works notes that the upstream accepted a connection: see learn.
func (b *backend) works() {
	if b.down.Load() && b.down.CompareAndSwap(true, false) {
		b.gauges.SetUp(true)
	}
}

// fails notes that the upstream accepted none: see learn. The upstream is probed
// from then on: a proxy that is not ready is sent no client by whose handshake it
// could find out that the upstream is back.
func (b *backend) fails() {
	if b.down.Swap(true) {
		return
	}
	b.gauges.SetUp(false)
	b.log.Warn("upstream is down: it is probed until it accepts a connection", "upstream", b.name)
	if !b.probing.Swap(true) {
		go b.probe()
	}
}

// probe ends when the upstream is up, or the server shuts down.
func (b *backend) probe() {
	tick := time.NewTicker(b.probeEvery)
	defer tick.Stop()
	for b.down.Load() {
		select {
		case <-b.ended.Done():
			return
		case <-tick.C:
		}
		conn, err := b.connect(b.ended)
		if err == nil {
			conn.Close() // it was only asked whether it can be opened
		}
		b.learn(err)
	}
	b.log.Info("upstream is up again", "upstream", b.name)
	b.probing.Store(false)
	if b.down.Load() && !b.probing.Swap(true) { // it went down in between, and fails left it to us
		go b.probe()
	}
}
