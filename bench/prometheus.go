package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A histogram is the buckets of a Prometheus histogram in ascending order.
type histogram []bucket

// A bucket counts the observations not above its bound.
type bucket struct{ bound, count float64 }

// pingLag reads how late Holdfast sends its heartbeats, in seconds. It returns nil if url
// is empty.
func pingLag(url string) (histogram, error) {
	if url == "" {
		return nil, nil
	}
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return parseHistogram(response.Body, "holdfast_ping_lag_seconds")
}

// parseHistogram reads the buckets of a histogram without labels from the text exposition
// format.
func parseHistogram(r io.Reader, name string) (histogram, error) {
	var h histogram
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name+`_bucket{le="`)
		if !ok {
			continue
		}
		bound, count, ok := strings.Cut(rest, `"} `)
		if !ok {
			return nil, fmt.Errorf("bucket with more labels than one: %s", lines.Text())
		}
		b, err := parseBucket(bound, count)
		if err != nil {
			return nil, err
		}
		h = append(h, b)
	}
	slices.SortFunc(h, func(a, b bucket) int { return cmp.Compare(a.bound, b.bound) })
	return h, lines.Err()
}

func parseBucket(bound, count string) (bucket, error) {
	b, err := strconv.ParseFloat(bound, 64)
	if err != nil {
		return bucket{}, err
	}
	n, err := strconv.ParseFloat(count, 64)
	return bucket{b, n}, err
}

// since returns h without the observations in earlier.
func (h histogram) since(earlier histogram) histogram {
	if len(earlier) != len(h) {
		return h
	}
	later := slices.Clone(h)
	for i := range later {
		later[i].count -= earlier[i].count
	}
	return later
}

// quantile returns the quantile q. Like histogram_quantile of Prometheus, it interpolates
// within the bucket that holds the quantile. ok is false if there are no observations.
func (h histogram) quantile(q float64) (value float64, ok bool) {
	if len(h) == 0 || h[len(h)-1].count == 0 {
		return 0, false
	}
	rank := q * h[len(h)-1].count
	lower := bucket{}
	for _, b := range h {
		switch {
		case b.count < rank:
			lower = b
			continue
		case math.IsInf(b.bound, 1):
			return lower.bound, true
		}
		return lower.bound + (b.bound-lower.bound)*(rank-lower.count)/(b.count-lower.count), true
	}
	return lower.bound, true
}
