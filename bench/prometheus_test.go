package main

import (
	"math"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	const before = `holdfast_ping_lag_seconds_bucket{le="0.001"} 10
holdfast_ping_lag_seconds_bucket{le="0.01"} 10
holdfast_ping_lag_seconds_bucket{le="+Inf"} 10
holdfast_ping_lag_seconds_count 10
`
	const after = `holdfast_ping_lag_seconds_bucket{le="0.001"} 60
holdfast_ping_lag_seconds_bucket{le="0.01"} 110
holdfast_ping_lag_seconds_bucket{le="+Inf"} 110
`
	read := func(text string) histogram {
		h, err := parseHistogram(strings.NewReader(text), "holdfast_ping_lag_seconds")
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	got, ok := read(after).since(read(before)).quantile(0.75)
	if want := 0.0055; !ok || math.Abs(got-want) > 1e-9 {
		t.Errorf("quantile is %v, %v, want %v", got, ok, want)
	}
	if _, ok := read(after).since(read(after)).quantile(0.75); ok {
		t.Error("a quantile of no observations")
	}
	if _, ok := histogram(nil).quantile(0.75); ok {
		t.Error("a quantile of no histogram")
	}
}
