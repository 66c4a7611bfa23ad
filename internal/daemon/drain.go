package daemon

import (
	"context"
	"errors"
	"os"
	"time"

	"holdfast/proxy"
)

// serve waits for what ends the proxy: a signal, or a failure. A drain that the admin
// listener was asked for ends only the sessions. serve returns false if the proxy failed or
// if sessions had to be cut.
func (d *Daemon) serve(ctx context.Context, signals <-chan os.Signal, ended <-chan error) bool {
	var telling progress
	defer telling.ends()
	begun := false           // the admin listener was asked for a drain
	var over <-chan struct{} // closed when that drain is over; nil before, and when that was logged
	for {
		select {
		case err := <-ended:
			d.log.Error("the proxy failed", "error", err)
			return false
		case <-d.asked:
			if !begun {
				begun, over = true, d.proxy.Drained()
				d.log.Info("draining", "asked", "POST /api/drain", "sessions", d.proxy.Sessions(),
					"at_most_s", d.proxy.DrainLeft().Round(time.Second).Seconds())
				telling.begins(ctx, d.tellProgress)
			}
		case <-over:
			over = nil
			telling.ends()
			d.log.Info("drained; the process waits for a signal")
		case s := <-signals:
			how := d.term
			if s == os.Interrupt {
				how = d.interrupt
			}
			d.tellStopping()
			d.log.Info("draining", "signal", s.String(), "sessions", d.proxy.Sessions(), "at_most_s", d.atMost(how).Seconds())
			if !begun {
				telling.begins(ctx, d.tellProgress)
			}
			return d.stop(how, signals, ended, &telling)
		}
	}
}

// drainOnly begins the drain that SIGTERM begins, but the process lives on. If a drain has
// begun already, it changes nothing.
func (d *Daemon) drainOnly() {
	d.proxy.Drain(d.term)
	select {
	case d.asked <- struct{}{}:
	default:
	}
}

// atMost returns how long a stop takes at most. It goes on from a drain that is under way.
func (d *Daemon) atMost(how proxy.Stop) time.Duration {
	if d.proxy.Draining() {
		return min(how.Longest(), d.proxy.DrainLeft().Round(time.Second))
	}
	return how.Longest()
}

// stop ends every session with a Close, as how says, and then the proxy. At another signal
// it cuts the sessions that are left. It returns false if the proxy failed or if sessions
// had to be cut. telling is what tells of the progress.
func (d *Daemon) stop(how proxy.Stop, signals <-chan os.Signal, ended <-chan error, telling *progress) bool {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	go d.cutOnSignal(ctx, cut, signals)

	left, err := d.proxy.Shutdown(ctx, how)
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("shutdown failed", "error", err)
		return false
	}
	if err := <-ended; err != nil {
		d.log.Error("the proxy failed", "error", err)
		return false
	}
	telling.ends()
	d.log.Info("holdfast ends", "cut", left)
	return left == 0
}

// progressEvery is how often a drain says how far it has come.
const progressEvery = 5 * time.Second

// A progress is a goroutine that tells how far a drain has come. The zero progress is not
// running.
type progress struct {
	cancel context.CancelFunc
	over   chan struct{} // closed when the goroutine has ended
}

// begins starts tell.
func (p *progress) begins(ctx context.Context, tell func(context.Context)) {
	ctx, p.cancel = context.WithCancel(ctx)
	p.over = make(chan struct{})
	go p.run(ctx, tell)
}

func (p *progress) run(ctx context.Context, tell func(context.Context)) {
	defer close(p.over)
	tell(ctx)
}

// ends makes tell return, and waits for that. So what is logged next comes behind what tell
// has logged. It does nothing if begins was not called.
func (p *progress) ends() {
	if p.cancel != nil {
		p.cancel()
		<-p.over
	}
}

// tellProgress logs how many sessions are left, until the drain is over or ctx ends.
func (d *Daemon) tellProgress(ctx context.Context) {
	began := time.Now()
	ticks := time.NewTicker(progressEvery)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			d.log.Info("still draining", "sessions", d.proxy.Sessions(), "after_s", now.Sub(began).Round(time.Second).Seconds())
		case <-d.proxy.Drained():
			return
		case <-ctx.Done():
			return
		}
	}
}

// cutOnSignal calls cut at the next signal. It returns when ctx ends.
func (d *Daemon) cutOnSignal(ctx context.Context, cut context.CancelFunc, signals <-chan os.Signal) {
	select {
	case s := <-signals:
		d.log.Warn("cutting the sessions that are left", "signal", s.String(), "sessions", d.proxy.Sessions())
		cut()
	case <-ctx.Done():
	}
}
