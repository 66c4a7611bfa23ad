package main

import (
	"testing"
	"time"
)

func TestPeak(t *testing.T) {
	start := time.Now()
	at := func(milliseconds ...int) (moments []time.Time) {
		for _, ms := range milliseconds {
			moments = append(moments, start.Add(time.Duration(ms)*time.Millisecond))
		}
		return moments
	}
	for _, tt := range []struct {
		name    string
		moments []time.Time
		peak    int
		extent  time.Duration
	}{
		{"none", nil, 0, 0},
		{"one", at(5), 1, 0},
		{"all at once", at(5, 5, 5), 3, 0},
		{"one in each window", at(0, 100, 200), 1, 200 * time.Millisecond},
		{"a window that begins in between", at(0, 90, 110, 180, 300), 3, 300 * time.Millisecond},
		{"not in order", at(300, 90, 180, 0, 110), 3, 300 * time.Millisecond},
	} {
		if got := peak(tt.moments, 100*time.Millisecond); got != tt.peak {
			t.Errorf("%s: the peak is %d, want %d", tt.name, got, tt.peak)
		}
		if got := extent(tt.moments); got != tt.extent {
			t.Errorf("%s: the extent is %v, want %v", tt.name, got, tt.extent)
		}
	}
}
