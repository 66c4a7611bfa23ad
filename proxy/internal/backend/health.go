package backend

import "time"

// probeInterval is how often a backend that is down is probed.
const probeInterval = 2 * time.Second

// Up reports whether the backend accepted the last connection. It is true as well before
// the first one was tried.
func (b *Backend) Up() bool { return !b.down.Load() }

// works records that the backend accepted a connection, see Learn.
func (b *Backend) works() {
	if b.down.Load() && b.down.CompareAndSwap(true, false) {
		b.gauges.SetUp(true)
	}
}

// fails records that the backend accepted no connection, see Learn. From then on the
// backend is probed. Without a probe it would stay down: a proxy that is not ready
// receives no clients, so no handshake could succeed.
func (b *Backend) fails() {
	if b.down.Swap(true) {
		return
	}
	b.gauges.SetUp(false)
	b.cfg.Log.Warn("upstream is down: it is probed until it accepts a connection", "upstream", b.name)
	if !b.probing.Swap(true) {
		b.cfg.Beside(b.probe)
	}
}

// probe connects every probeEvery until the backend is up or the proxy shuts down.
func (b *Backend) probe() {
	tick := time.NewTicker(b.probeEvery)
	defer tick.Stop()
	for b.down.Load() {
		select {
		case <-b.ended.Done():
			return
		case <-tick.C:
		}
		conn, err := b.Connect(b.ended)
		if err == nil {
			conn.Close() // the probe only asks whether a connection can be made
		}
		b.Learn(err)
	}
	b.cfg.Log.Info("upstream is up again", "upstream", b.name)
	b.probing.Store(false)
	if b.down.Load() && !b.probing.Swap(true) { // it went down again while probing was still true, so fails started no probe
		b.cfg.Beside(b.probe)
	}
}
