package main

import (
	"math"
	"slices"
	"time"
)

// median returns the middle value, or the mean of the two in the middle. It returns NaN if
// there are no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile returns the smallest duration that at least the fraction p of all durations do
// not exceed (the nearest-rank method). It sorts durations. It returns 0 if there are none.
func percentile(durations []time.Duration, p float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	rank := int(math.Ceil(p * float64(len(durations))))
	return durations[min(max(rank, 1), len(durations))-1]
}

// noise is the relative difference that a shared machine causes. Two figures that differ by
// less count as equal.
const noise = 0.15

// ratio returns own, divided by the lowest of the peers' figures. ok is false if one side
// has no figure, or if the lowest is not above zero.
func ratio(own float64, peers []float64) (r float64, ok bool) {
	best := math.NaN()
	for _, v := range peers {
		if math.IsNaN(best) || v < best {
			best = v
		}
	}
	if math.IsNaN(own) || math.IsNaN(best) || best <= 0 {
		return 0, false
	}
	return own / best, true
}

// similar reports whether a ratio is within the noise.
func similar(r float64) bool { return r > 1-noise && r < 1+noise }
