package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"holdfast/proxy"
)

// A run plays many seeds.
type run struct {
	next, end uint64
	enough    int           // seeds that may break a promise before the run gives up
	trace     bool          // tell the stories
	calls     bool          // and the proxy's calls
	at        atomic.Uint64 // seeds given out

	mu      sync.Mutex
	played  int
	broken  int
	failing *Plan // of the lowest seed that broke a promise
	seen    map[string]int
}

func newRun() *run { return &run{enough: 1, seen: map[string]int{}} }

// again is how often a seed is played twice: both must be the same to the last byte.
const again = 100

// plays plays seeds until there are no more, or enough have failed.
func (r *run) plays() {
	for {
		seed := r.next + r.at.Add(1) - 1
		if seed >= r.end || r.failed() >= r.enough {
			return
		}
		p := planFor(seed)
		w, wrong := r.play(p)
		r.add(p, w, wrong)
	}
}

// play plays one plan, now and then twice.
func (r *run) play(p *Plan) (*World, []error) {
	told := story{calls: r.calls}
	if r.trace {
		told.to = os.Stdout
		p.describes(told.to)
	}
	twice := p.Seed%again == 0
	if twice {
		told.hash = fnv.New64a()
	}
	w := newWorld(p, told)
	wrong := w.plays()
	if twice {
		other := newWorld(p, story{hash: fnv.New64a()})
		other.plays()
		if other.story.hash.Sum64() != w.story.hash.Sum64() {
			wrong = append(wrong, errNotSame)
		}
	}
	return w, wrong
}

var errNotSame = errors.New("two runs are not the same")

// plays is Run, for which a panic is one more broken promise.
func (w *World) plays() (wrong []error) {
	defer func() {
		if why := recover(); why != nil {
			w.fails("panic: %v", why)
			wrong = w.wrong
			if w.story.to != nil {
				w.tells("%s", debug.Stack())
			}
		}
	}()
	return w.Run()
}

func (r *run) failed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

func (r *run) add(p *Plan, w *World, wrong []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.played++
	for what, n := range w.seen {
		r.seen[what] += n
	}
	for i, name := range proxy.States() {
		r.seen[name] += w.state[i]
	}
	for _, err := range wrong {
		fmt.Printf("seed %d: %v\n", p.Seed, err)
	}
	if len(wrong) == 0 {
		return
	}
	r.broken++
	if r.failing == nil || p.Seed < r.failing.Seed {
		r.failing = p
	}
}
