// Mutate breaks the proxy in one place at a time, and plays the simulation on each broken
// proxy until a promise is broken, too:
//
//	go run ./internal/sim/mutate               tries all mutants of internal/sim/mutants
//	go run ./internal/sim/mutate -only gauge   those whose name has "gauge" in it
//
// It exits with 1 if a mutant survives, or can no longer be applied. Run it at the top of
// the repository.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
)

func main() {
	dir := flag.String("mutants", "internal/sim/mutants", "the directory of the mutants")
	only := flag.String("only", "", "a part of the names of those to try")
	seeds := flag.Int("seeds", 5000, "how many seeds a mutant may survive")
	page := flag.String("write", "", "a Markdown page whose table of mutants is to be replaced")
	flag.Parse()
	failed, err := run(*dir, *only, *seeds, *page)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

func run(dir, only string, seeds int, page string) (failed bool, err error) {
	all, err := readMutants(dir)
	if err != nil {
		return true, err
	}
	var chosen []mutant
	for _, m := range all {
		if strings.Contains(m.name, only) {
			chosen = append(chosen, m)
		}
	}
	trials := tryAll(chosen, seeds)
	survived := 0
	for _, t := range trials {
		if !t.caught() {
			survived++
		}
	}
	fmt.Printf("%d mutants were tried, %d survived\n", len(trials), survived)
	if page != "" && survived == 0 {
		err = writeTable(page, trials)
	}
	return survived > 0, err
}

// tryAll tries mutants, one on each processor.
func tryAll(all []mutant, seeds int) []trial {
	trials := make([]trial, len(all))
	next := make(chan int)
	var trying sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		trying.Go(func() {
			for i := range next {
				trials[i] = try(all[i], seeds)
				fmt.Println(trials[i])
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	trying.Wait()
	return trials
}
