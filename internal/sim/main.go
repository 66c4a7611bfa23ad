// Sim plays the proxy's event loops over an invented kernel, an invented network and an
// invented clock, and holds what the peers get against what the proxy promises:
//
//	go run ./internal/sim -seeds 1000          plays seeds 1 to 1000
//	go run ./internal/sim -seed 217 -trace     tells all that happens in one
//
// It exits with 1 if a promise was broken.
package main

import (
	"flag"
	"fmt"
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
	trace := flag.Bool("trace", false, "tell all that happens")
	gates := flag.Bool("gates", false, "fail if a fault, an end or a state has not been seen")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "how many worlds are played at a time")
	flag.Parse()
	debug.SetGCPercent(gcPercent)
	if *trace {
		*workers = 1
	}
	r := &run{next: *first, end: *first + *seeds, trace: *trace, seen: map[string]int{}}
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
	trace     bool
	at        atomic.Uint64 // seeds given out

	mu     sync.Mutex
	played int
	broken int
	seen   map[string]int
}

// enough is how many seeds may break a promise before the run gives up.
const enough = 10

// gcPercent lets a worker collect the garbage of many seeds at once: a world leaves much
// garbage, and little lives.
const gcPercent = 2000

// again is how often a seed is played twice: both must be the same to the last byte.
const again = 100

func (r *run) plays() {
	for {
		seed := r.next + r.at.Add(1) - 1
		if seed >= r.end || r.failed() >= enough {
			return
		}
		w := newWorld(planFor(seed), r.teller())
		wrong := w.Run()
		if seed%again == 0 {
			if other := newWorld(planFor(seed), nil); len(other.Run()) != len(wrong) || other.hash.Sum64() != w.hash.Sum64() {
				wrong = append(wrong, fmt.Errorf("two runs are not the same"))
			}
		}
		r.add(seed, w, wrong)
	}
}

func (r *run) teller() func(string, ...any) {
	if !r.trace {
		return nil
	}
	return func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
}

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
