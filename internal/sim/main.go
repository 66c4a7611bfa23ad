// Sim plays the proxy's event loops over an invented kernel, an invented network and an
// invented clock.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	seed := flag.Uint64("seed", 1, "the first seed")
	seeds := flag.Uint64("seeds", 1, "how many seeds")
	trace := flag.Bool("trace", false, "tell all that happens")
	flag.Parse()
	seen := map[string]int{}
	failed := 0
	for s := *seed; s < *seed+*seeds; s++ {
		var tell func(string, ...any)
		if *trace {
			tell = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
		}
		w := newWorld(planFor(s), tell)
		for _, err := range w.Run() {
			fmt.Printf("seed %d: %v\n", s, err)
			failed++
		}
		for k, n := range w.seen {
			seen[k] += n
		}
		if failed > 5 {
			break
		}
	}
	fmt.Println(len(seen), "kinds of things seen")
	if failed > 0 {
		os.Exit(1)
	}
}
