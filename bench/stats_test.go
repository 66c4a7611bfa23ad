package main

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i) // 1 to 100, unsorted
	}
	for _, tt := range []struct {
		p    float64
		want time.Duration
	}{{0.5, 50}, {0.99, 99}, {1, 100}, {0, 1}} {
		if got := percentile(hundred, tt.p); got != tt.want {
			t.Errorf("percentile(1..100, %v) = %d, want %d", tt.p, got, tt.want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("percentile of nothing = %v, want 0", got)
	}
}

func TestRatio(t *testing.T) {
	for _, tt := range []struct {
		name  string
		own   float64
		peers []float64
		want  string
	}{
		{"far below the best", 1, []float64{4, 2, 8}, "0.50"},
		{"just outside the noise", 2.4, []float64{2, 3}, "1.20"},
		{"within the noise", 2.1, []float64{2, 3}, "≈ 1.05"},
		{"not measured", math.NaN(), []float64{2}, "–"},
		{"no peer", 2, nil, "–"},
		{"the best used nothing", 2, []float64{0, 5}, "–"},
	} {
		if got := formatRatio(ratio(tt.own, tt.peers)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
