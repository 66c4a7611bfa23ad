package proxy

import (
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/epoll"
)

// A bustle is whether more events are likely to come soon, so that it is worth to
// loiter for them: wake-ups come in quick succession. A round trip alone, which has
// fewer than enough of them, is not worth it.
type bustle struct {
	hot   bool
	wakes int            // by events, each soon after the one before
	last  heartbeat.Time // when the last one was
}

const enough = 4

// woken notes that the loop was woken up, by events or by an alarm.
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
	b.hot = b.wakes >= enough
}

// run turns the loop until stop is called.
func (l *loop) run() error {
	defer l.epoll.Close()
	defer l.inbox.posters.Wait() // or they would wake a closed descriptor
	defer l.inbox.run()          // nobody who posted one may wait for it in vain
	defer l.inbox.stop()
	for !l.inbox.stopped.Load() {
		switch {
		case l.wheel.Next() <= l.now:
			l.poll() // what has come in is seen before any timer runs
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

// park waits for events or for a timer, however long it takes, and handles them.
func (l *loop) park() error {
	ready, err := l.epoll.Park(l.alarmTime())
	if err != nil {
		return err
	}
	if !ready {
		l.poll() // the alarm went off: as in run
	}
	l.turn(l.now, l.ready)
	l.bustle.woken(l.now, ready)
	return nil
}

// loiter waits a moment in the kernel for what may follow on the events just
// handled, instead of parking at once, and handles it. Timers wait for a turn:
// they are judged by a time before the poll, and events by one after it.
func (l *loop) loiter() {
	ready, more, err := l.epoll.Loiter()
	l.look(ready, err)
	l.bustle.hot = more
	l.now = l.clock()
	for _, ev := range l.ready {
		l.dispatch(ev)
	}
	l.inbox.run()
	l.callNext()
}

// poll looks at the clock and then for events, in this order: what arrived
// before the time that a turn's timers are judged by is in the turn's events.
func (l *loop) poll() bool {
	l.now = l.clock()
	l.look(l.kernel.Poll())
	return len(l.ready) > 0
}

func (l *loop) look(ready []epoll.Event, err error) {
	if err != nil {
		panic(err) // the arguments are ours: EBADF, EFAULT and EINVAL are broken invariants
	}
	l.ready = ready
}

// alarmTime is when the next timer may be due; zero if there is none.
func (l *loop) alarmTime() time.Time {
	at := l.wheel.Next()
	if at == heartbeat.Never {
		return time.Time{}
	}
	return l.server.clock.wall(at)
}
