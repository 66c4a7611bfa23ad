package proxy

import "time"

// probeInterval is how often an upstream that is down is tried.
const probeInterval = 2 * time.Second

// works notes that the upstream accepted a connection: see learn.
func (o *origin) works() {
	if o.down.Load() && o.down.CompareAndSwap(true, false) {
		o.gauges.SetUp(true)
	}
}

// fails notes that the upstream accepted none: see learn. The upstream is probed
// from then on: a proxy that is not ready is sent no client by whose handshake it
// could find out that the upstream is back.
func (o *origin) fails() {
	if o.down.Swap(true) {
		return
	}
	o.gauges.SetUp(false)
	o.log.Warn("upstream is down: it is probed until it accepts a connection", "upstream", o.name)
	if !o.probing.Swap(true) {
		go o.probe()
	}
}

// probe ends when the upstream is up, or the server shuts down.
func (o *origin) probe() {
	tick := time.NewTicker(o.probeEvery)
	defer tick.Stop()
	for o.down.Load() {
		select {
		case <-o.ended.Done():
			return
		case <-tick.C:
		}
		conn, err := o.connect(o.ended)
		if err == nil {
			conn.Close() // it was only asked whether it can be opened
		}
		o.learn(err)
	}
	o.log.Info("upstream is up again", "upstream", o.name)
	o.probing.Store(false)
	if o.down.Load() && !o.probing.Swap(true) { // it went down in between, and fails left it to us
		go o.probe()
	}
}
