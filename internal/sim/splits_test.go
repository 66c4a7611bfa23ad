package main

import "testing"

// Every so many cases of the exhaustive part are played here; go run ./internal/sim -splits
// plays all of them.
const everySplit = 997

func TestSplits(t *testing.T) {
	n := 0
	splits(func(s split) {
		if n++; n%everySplit != 0 {
			return
		}
		for _, err := range s.plays() {
			t.Errorf("%v: %v", s, err)
		}
	})
	t.Logf("there are %d cases", n)
}
