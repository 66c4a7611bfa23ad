package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/internal/notify"
)

// told is what the service manager is told, and what is still to be told.
type told struct {
	manager *notify.Manager // nil if nobody is to be told
	status  string          // the last one; only tellManager's after tellReady
	stuck   bool            // a loop has not turned, and that was logged; only tellManager's
	failed  atomic.Bool     // the manager could not be told, and that was logged
	ready   atomic.Bool     // it could not be told that the daemon is ready, and still waits for that

	mu        sync.Mutex
	rereading map[string]bool // the sides whose TLS files are being read again
}

// Notify makes Run tell the manager when the daemon is ready, reads its TLS files again
// and stops, how many sessions there are, and that the loops turn. It must be called
// before Run.
func (d *Daemon) Notify(manager *notify.Manager) { d.told.manager = manager }

// tell sends assignments to the manager, and reports whether that worked. Sessions do not
// need the manager, so the first failure is logged. A manager that waits for Ready ends the
// process when its patience is over, so tellNews repeats it.
func (d *Daemon) tell(assignments ...string) bool {
	err := d.told.manager.Send(assignments...)
	if err == nil {
		return true
	}
	if slices.Contains(assignments, notify.Ready) {
		d.told.ready.Store(true)
	}
	if !d.told.failed.Swap(true) {
		d.log.Warn("the service manager cannot be told what Holdfast does", "error", err)
	}
	return false
}

// tellStopping tells the manager that the daemon begins to end.
func (d *Daemon) tellStopping() {
	d.told.ready.Store(false)
	d.tell(notify.Stopping)
}

// tellReady tells the manager that clients can connect: the listener is bound, and the
// kernel holds them until the loops accept.
func (d *Daemon) tellReady() {
	if status := d.status(); d.tell(notify.Ready, notify.Status(status)) {
		d.told.status = status
	}
}

// status returns what the daemon does, for people.
func (d *Daemon) status() string {
	if d.proxy.Draining() {
		return fmt.Sprintf("draining, sessions left: %d", d.proxy.Sessions())
	}
	return fmt.Sprintf("sessions: %d", d.proxy.Sessions())
}

// statusEvery is how often the manager is told the number of sessions, if it has changed.
const statusEvery = 5 * time.Second

// beatsInTime is how many beats fit into the time in which the manager wants one.
const beatsInTime = 4

// tellManager tells the manager of the sessions, and that the loops turn, until ctx ends.
func (d *Daemon) tellManager(ctx context.Context) {
	if !d.told.manager.Present() {
		return
	}
	every := statusEvery
	if limit := d.told.manager.Watchdog(); limit > 0 {
		every = min(every, limit/beatsInTime)
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			d.tellNews()
		case <-ctx.Done():
			return
		}
	}
}

// tellNews sends a beat if every loop has turned since the call before, the status if it
// has changed, and Ready if the manager still waits for it. So a loop that hangs stops the
// beats, and the manager ends the process.
func (d *Daemon) tellNews() {
	var news []string
	if d.told.ready.Swap(false) {
		news = append(news, notify.Ready)
	}
	if d.told.manager.Watchdog() > 0 && d.loopsTurn() {
		news = append(news, notify.Beat)
	}
	status := d.status()
	if status != d.told.status {
		news = append(news, notify.Status(status))
	}
	if len(news) > 0 && d.tell(news...) {
		d.told.status = status
	}
}

// loopsTurn reports whether every loop has turned since the call before. It logs when the
// first of them hangs, and when all of them turn again.
func (d *Daemon) loopsTurn() bool {
	turned := d.proxy.Turned()
	switch {
	case !turned && !d.told.stuck:
		d.log.Error("an event loop hangs; the service manager gets no beats until it turns again")
	case turned && d.told.stuck:
		d.log.Info("all event loops turn again")
	}
	d.told.stuck = !turned
	return turned
}

// tellReloading tells the manager that the TLS files are read again. When all of them have
// been read, tellReloaded tells it that the daemon is ready.
func (d *Daemon) tellReloading() {
	if !d.told.manager.Present() {
		return // the message has the time of a clock that costs a system call
	}
	d.tell(notify.Reloading())
	if len(d.certificates.Watched) == 0 {
		d.tell(notify.Ready)
		return
	}
	d.told.mu.Lock()
	defer d.told.mu.Unlock()
	d.told.rereading = map[string]bool{}
	for _, w := range d.certificates.Watched {
		d.told.rereading[w.Side] = true
	}
}

// tellReloaded records that the TLS files of a side have been read.
func (d *Daemon) tellReloaded(side string) {
	d.told.mu.Lock()
	defer d.told.mu.Unlock()
	if !d.told.rereading[side] {
		return // they were read because they had changed
	}
	delete(d.told.rereading, side)
	if len(d.told.rereading) == 0 {
		d.tell(notify.Ready)
	}
}
