package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/epoll"
)

// A bustle decides whether the loop loiters: hot means that wake-ups come in quick
// succession, so more events are likely to come soon. A single round trip causes fewer
// than hotWakes wake-ups, and is not worth loitering for.
type bustle struct {
	hot   bool
	wakes int            // by events, each within Patience of the one before
	last  heartbeat.Time // the time of the last of them
}

const hotWakes = 4

// woken records that the loop was woken, by events or by an alarm.
func (b *bustle) woken(now heartbeat.Time, byEvents bool) {
	if !byEvents {
		b.hot = false
		return
	}
	if now.Sub(b.last) > epoll.Patience {
		b.wakes = 0
	}
	b.last = now
	b.wakes++
	b.hot = b.wakes >= hotWakes
}

// run turns the loop until stop is called, or until the loop is broken.
func (l *loop) run() (err error) {
	defer l.epoll.Close()
	defer l.inbox.posters.Wait() // a poster must not wake a closed descriptor
	defer l.doLastJobs()         // a job that was taken always runs
	defer l.inbox.stop()
	defer func() {
		if err == nil {
			err = l.faults.broken
		}
	}()
	defer l.recovers()
	for !l.inbox.stopped.Load() && l.faults.broken == nil {
		switch {
		case l.wheel.Next() <= l.now:
			l.poll() // input before timers
			l.turn(l.now, l.ready)
		case l.bustle.hot:
			l.loiter()
		default:
			if err := l.park(); err != nil {
				return err
			}
		}
	}
	return nil
}

// park waits for events or for the next timer, however long that takes, and handles them.
func (l *loop) park() error {
	ready, err := l.epoll.Park(l.alarmTime())
	if err != nil {
		return err
	}
	if !ready {
		l.poll() // the alarm went off; input before timers
	}
	l.turn(l.now, l.ready)
	l.bustle.woken(l.now, ready)
	return nil
}

// loiter waits for a moment in the kernel, instead of parking at once, for more events
// behind those just handled. It handles events but runs no timers: timers must be judged
// by a time before the poll, and loiter reads the clock after it.
func (l *loop) loiter() {
	ready, more, err := l.epoll.Loiter()
	l.look(ready, err)
	l.bustle.hot = more
	l.tick()
	l.left = l.ready
	l.complete((*loop).dispatchAll)
	l.complete((*loop).doJobs)
	l.examine()
}

// poll reads the clock and then looks for events. In this order everything that arrived
// before l.now is among the events, which are handled before timers are judged by l.now.
// poll reports whether there are events.
func (l *loop) poll() bool {
	l.tick()
	l.look(l.kernel.Poll())
	return len(l.ready) > 0
}

// tick reads the clock.
func (l *loop) tick() {
	now, away := l.clock(), l.absence.away
	l.absence.note(l.now, now, l.wheel.Next())
	if l.absence.away && !away {
		l.unseen = 0 // each leg has its chance again, since what came meanwhile is unread
	}
	l.now = now
}

func (l *loop) look(ready []epoll.Event, err error) {
	if err != nil {
		panic(err) // the arguments are ours: EBADF, EFAULT and EINVAL are broken invariants
	}
	l.ready = ready
}

// alarmTime returns when the next timer may be due, or the zero time if there is none.
func (l *loop) alarmTime() time.Time {
	at := l.wheel.Next()
	if at == heartbeat.Never {
		return time.Time{}
	}
	return l.server.clock.wall(at)
}
