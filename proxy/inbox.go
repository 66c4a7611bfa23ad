package proxy

import (
	"sync"
	"sync/atomic"
)

// An inbox is how other goroutines have a loop do something. The loop alone calls run.
type inbox struct {
	wake    func()      // static: has the loop look
	waiting atomic.Bool // there are jobs: spares every turn the lock
	stopped atomic.Bool // no more jobs are taken; written under mu

	mu      sync.Mutex
	jobs    []func()
	posters sync.WaitGroup // who have left a job, and are about to wake the loop
}

// post has a job run by the loop. It may be called from any goroutine, and reports
// whether the job will run.
func (b *inbox) post(job func()) bool {
	b.mu.Lock()
	taken := !b.stopped.Load()
	if taken {
		b.jobs = append(b.jobs, job)
		b.waiting.Store(true)
		b.posters.Add(1)
	}
	b.mu.Unlock()
	if taken { // not under the lock: the loop would wake up to wait for it
		b.wake()
		b.posters.Done()
	}
	return taken
}

// run runs the jobs that wait.
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

// stop lets nobody post any more. It may be a job.
func (b *inbox) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped.Store(true)
}
