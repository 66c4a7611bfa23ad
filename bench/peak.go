package main

import (
	"slices"
	"time"
)

// peak returns how many of the moments at most lie within any window of that length.
func peak(moments []time.Time, window time.Duration) int {
	sorted := slices.SortedFunc(slices.Values(moments), time.Time.Compare)
	most, first := 0, 0
	for i, moment := range sorted {
		for moment.Sub(sorted[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// extent returns the time from the first of the moments to the last.
func extent(moments []time.Time) time.Duration {
	if len(moments) == 0 {
		return 0
	}
	return slices.MaxFunc(moments, time.Time.Compare).Sub(slices.MinFunc(moments, time.Time.Compare))
}
