package main

import (
	"testing"
)

func TestSizeName(t *testing.T) {
	for bytes, want := range map[int]string{64: "64 B", 1 << 10: "1 KiB", 1<<10 + 1: "1025 B", 1 << 20: "1 MiB"} {
		if got := sizeName(bytes); got != want {
			t.Errorf("sizeName(%d) = %s, want %s", bytes, got, want)
		}
	}
}

func TestFigureKeysAreUnique(t *testing.T) {
	for _, p := range []params{defaultParams(), quickParams()} {
		seen := make(map[string]bool)
		for _, s := range scenarios() {
			for _, f := range figuresOf(s, p) {
				if name := f.Scenario + "/" + f.Key; seen[name] {
					t.Errorf("%s stands for two figures", name)
				} else {
					seen[name] = true
				}
				if f.Unit == "" {
					t.Errorf("%s/%s has no unit", f.Scenario, f.Key)
				}
			}
		}
	}
}
