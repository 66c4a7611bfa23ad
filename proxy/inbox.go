package proxy

import (
	"sync"
	"sync/atomic"
)

// An inbox passes jobs from other goroutines to a loop. Only the loop calls take and
// next.
type inbox struct {
	wake    func()      // static: wakes the loop, which then calls take
	waiting atomic.Bool // there are jobs; without them a turn takes no lock
	stopped atomic.Bool // no more jobs are accepted; written under mu

	taken []func() // owned by the loop: those that take has taken and next has not returned

	mu      sync.Mutex
	jobs    []func()
	posters sync.WaitGroup // goroutines that added a job and are about to call wake
}

// post adds a job for the loop's goroutine. It may be called from any goroutine. It
// returns false if the inbox is stopped; the job never runs then.
func (b *inbox) post(job func()) bool {
	b.mu.Lock()
	taken := !b.stopped.Load()
	if taken {
		b.jobs = append(b.jobs, job)
		b.waiting.Store(true)
		b.posters.Add(1)
	}
	b.mu.Unlock()
	if taken { // not under the lock: the loop would wake up only to wait for it
		b.wake()
		b.posters.Done()
	}
	return taken
}

// take takes the jobs that wait. A job that is posted later, by one of them for example,
// waits for the next take.
func (b *inbox) take() {
	if !b.waiting.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting.Store(false)
	b.taken = append(b.taken, b.jobs...)
	b.jobs = nil
}

// next returns the next job that was taken, or nil.
func (b *inbox) next() (job func()) {
	if len(b.taken) == 0 {
		b.taken = nil
		return nil
	}
	job = b.taken[0]
	b.taken[0] = nil
	b.taken = b.taken[1:]
	return job
}

// stop makes every later post return false. A job may call it.
func (b *inbox) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped.Store(true)
}
