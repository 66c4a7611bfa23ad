// Sim plays the proxy's event loops over an invented kernel, an invented network and an
// invented clock, and holds what the peers get against what the proxy promises:
//
//	go run ./internal/sim -seeds 1000          plays seeds 1 to 1000
//	go run ./internal/sim -seed 217 -trace     tells all that happens in one
//
// It exits with 1 if a promise was broken.
package main

import (
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"holdfast/proxy"
)

func main() {
	first := flag.Uint64("seed", 1, "the first seed")
	seeds := flag.Uint64("seeds", 1, "how many seeds")
	trace := flag.Bool("trace", false, "tell what happens")
	calls := flag.Bool("calls", false, "tell the proxy's calls of the kernel, too")
	gates := flag.Bool("gates", false, "fail if a fault, an end or a state has not been seen")
	enough := flag.Int("enough", 10, "give up after so many seeds that broke a promise")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "how many worlds are played at a time")
	flag.Parse()
	debug.SetGCPercent(gcPercent)
	if *trace = *trace || *calls; *trace {
		*workers = 1
	}
	r := &run{next: *first, end: *first + *seeds, trace: *trace, calls: *calls, enough: *enough, seen: map[string]int{}}
	var playing sync.WaitGroup
	for range *workers {
		playing.Go(r.plays)
	}
	playing.Wait()
	fmt.Printf("%d seeds were played, %d broke a promise\n", r.played, r.broken)
	if *gates {
		for _, what := range missing(r.seen) {
			fmt.Println("never seen:", what)
			r.broken++
		}
	}
	if r.broken > 0 {
		os.Exit(1)
	}
}

// A run plays many seeds.
type run struct {
	next, end uint64
	enough    int           // seeds that may break a promise before the run gives up
	trace     bool          // tell the stories
	calls     bool          // and the proxy's calls
	at        atomic.Uint64 // seeds given out

	mu     sync.Mutex
	played int
	broken int
	seen   map[string]int
}

// gcPercent lets a worker collect the garbage of many seeds at once: a world leaves much
// garbage, and little lives.
const gcPercent = 2000

// again is how often a seed is played twice: both must be the same to the last byte.
const again = 100

func (r *run) plays() {
	for {
		seed := r.next + r.at.Add(1) - 1
		if seed >= r.end || r.failed() >= r.enough {
			return
		}
		w, wrong := r.play(planFor(seed))
		r.add(seed, w, wrong)
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

var errNotSame = errors.New("two runs are not the same")

func (r *run) failed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

func (r *run) add(seed uint64, w *World, wrong []error) {
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
		fmt.Printf("seed %d: %v\n", seed, err)
	}
	if len(wrong) > 0 {
		r.broken++
	}
}
