package proxy

import (
	"sync"
	"sync/atomic"
)

// An inbox passes jobs from other goroutines to a loop. Only the loop calls run.
type inbox struct {
	wake    func()      // static: wakes the loop, which then calls run
	waiting atomic.Bool // there are jobs; without them a turn takes no lock
	stopped atomic.Bool // no more jobs are accepted; written under mu

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

// run runs the waiting jobs.
func (b *inbox) run() {
	if !b.waiting.Load() {
		return
	}
	b.mu.Lock()
	b.waiting.Store(false)
	jobs := b.jobs
	b.jobs = nil
	b.mu.Unlock()
	for _, job := range jobs {
		job()
	}
}

// stop makes every later post return false. A job may call it.
func (b *inbox) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped.Store(true)
}
