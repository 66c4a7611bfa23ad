package backend

import "time"

// probeInterval is how often a backend that is down is tried.
const probeInterval = 2 * time.Second

// Up reports whether the backend accepted the last connection, or none was tried
// yet.
func (b *Backend) Up() bool { return !b.down.Load() }

// works notes that the backend accepted a connection: see Learn.
func (b *Backend) works() {
	if b.down.Load() && b.down.CompareAndSwap(true, false) {
		b.gauges.SetUp(true)
	}
}

// fails notes that the backend accepted none: see Learn. The backend is probed from
// then on. Without a probe it would stay down: a proxy that is not ready is sent no
// client whose handshake could succeed.
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

// probe ends when the backend is up, or the proxy shuts down.
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
			conn.Close() // it was only asked whether it can be opened
		}
		b.Learn(err)
	}
	b.cfg.Log.Info("upstream is up again", "upstream", b.name)
	b.probing.Store(false)
	if b.down.Load() && !b.probing.Swap(true) { // it went down in between, and fails left it to us
		b.cfg.Beside(b.probe)
	}
}
