// Sim plays the proxy's event loops over an invented kernel, an invented network and an
// invented clock, and holds what the peers get against what the proxy promises:
//
//	go run ./internal/sim -seeds 1000          plays seeds 1 to 1000
//	go run ./internal/sim -seed 217 -trace     tells all that happens in one
//	go run ./internal/sim -seed 217 -shrink    makes the plan of one that fails smaller
//	go run ./internal/sim -plan plan.json      plays a plan that -shrink has printed
//	go run ./internal/sim -splits              plays every split of every two short frames, and of messages
//
// It exits with 1 if a promise was broken.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

func main() {
	r := newRun()
	seeds := flag.Uint64("seeds", 1, "how many seeds")
	split := flag.Bool("splits", false, "play the exhaustive part, in place of seeds")
	plan := flag.String("plan", "", "a file with the plan to play, in place of seeds")
	smaller := flag.Bool("shrink", false, "print the smallest plan that breaks the same promise as the first seed that fails")
	gates := flag.Bool("gates", false, "fail if a fault, an end or a state has not been seen, and print how often each was")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "how many worlds are played at a time")
	flag.Uint64Var(&r.next, "seed", 1, "the first seed")
	flag.IntVar(&r.enough, "enough", 10, "give up after so many seeds that broke a promise")
	flag.BoolVar(&r.trace, "trace", false, "tell what happens")
	flag.BoolVar(&r.calls, "calls", false, "tell the proxy's calls of the kernel, too")
	flag.Parse()
	debug.SetGCPercent(gcPercent)
	r.end = r.next + *seeds
	r.trace = r.trace || r.calls
	if r.trace {
		*workers = 1
	}
	switch {
	case *split:
		r.playSplits(*workers)
	case *plan != "":
		r.playFile(*plan)
	default:
		r.playSeeds(*workers)
	}
	fmt.Printf("%d were played, %d broke a promise\n", r.played, r.broken)
	if *smaller && r.failing != nil {
		r.shrinks()
	}
	if *gates {
		broken := r.broken
		r.covers()
		if broken == 0 && r.broken > 0 {
			r.advises(r.end-*seeds, *workers)
		}
	}
	if r.broken > 0 {
		os.Exit(1)
	}
}

// How many seeds advises adds at a time, and how many it plays at most.
const (
	moreSeeds = 500
	mostSeeds = 100_000
)

// advises says how many seeds are enough to see everything, if no seed has failed. It plays
// more seeds to find that out. first is the first seed.
func (r *run) advises(first uint64, workers int) {
	unseen := r.broken // by no fault of a seed
	r.broken = 0
	defer func() { r.broken += unseen }()
	for len(missing(r.seen)) > 0 && r.broken == 0 && r.end-first < mostSeeds {
		r.end += moreSeeds
		r.playSeeds(workers)
	}
	if len(missing(r.seen)) > 0 {
		fmt.Printf("%d seeds do not show everything either\n", r.end-first)
		return
	}
	fmt.Printf("no promise was broken, but there were too few seeds to see everything: %d are enough\n", r.end-first)
}

// gcPercent lets a worker collect the garbage of many seeds at once: a world leaves much
// garbage, and little lives.
const gcPercent = 400

func (r *run) playSeeds(workers int) {
	var playing sync.WaitGroup
	for range workers {
		playing.Go(r.plays)
	}
	playing.Wait()
}

func (r *run) playSplits(workers int) {
	cases := make(chan split)
	var playing sync.WaitGroup
	for range workers {
		playing.Go(func() {
			for s := range cases {
				r.addSplit(s, s.plays())
			}
		})
	}
	splits(func(s split) { cases <- s })
	close(cases)
	playing.Wait()
}

func (r *run) addSplit(s split, wrong []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.played++
	for _, err := range wrong {
		fmt.Printf("%v: %v\n", s, err)
	}
	if len(wrong) > 0 {
		r.broken++
	}
}

func (r *run) playFile(name string) {
	text, err := os.ReadFile(name)
	var p Plan
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		fmt.Println(err)
		r.broken++
		return
	}
	w, wrong := r.play(&p)
	r.add(&p, w, wrong)
}

// shrinks prints the smallest plan that still fails, as a story and as data.
func (r *run) shrinks() {
	p := shrink(r.failing, func(p *Plan) string {
		if wrong := newWorld(p, story{}).plays(); len(wrong) > 0 {
			return wrong[0].Error()
		}
		return ""
	})
	p.describes(os.Stdout)
	newWorld(p, story{to: os.Stdout, calls: r.calls}).plays()
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // a plan is plain data
	}
	fmt.Printf("%s\n", text)
}

// covers prints how often everything was seen. What was never seen breaks a promise.
func (r *run) covers() {
	for _, what := range wanted() {
		fmt.Printf("%9d  %s\n", r.seen[what], what)
	}
	for _, what := range missing(r.seen) {
		fmt.Println("never seen:", what)
		r.broken++
	}
}
