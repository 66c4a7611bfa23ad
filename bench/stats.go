package main

import (
	"math"
	"slices"
	"time"
)

// median is the middle value, or the mean of the two in the middle; NaN for none.
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

// percentile is the smallest duration that at least the fraction p of all does not
// exceed (the nearest-rank method); it sorts its argument. 0 for none.
func percentile(durations []time.Duration, p float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	rank := int(math.Ceil(p * float64(len(durations))))
	return durations[min(max(rank, 1), len(durations))-1]
}

// noise is the difference, as a fraction, that a shared machine makes by itself:
// below it two figures count as equal.
const noise = 0.15

// ratio compares a figure to the best of the peers', lower being better. It has no
// value where either side has none or the best is not above zero.
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

// similar says that a ratio lies within the noise.
func similar(r float64) bool { return r > 1-noise && r < 1+noise }
