package main

import (
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	pid, parent, err := parseStat("17 (nginx: ) worker) S 12 17 17 0 -1")
	if err != nil || pid != 17 || parent != 12 {
		t.Errorf("%d, %d, %v, want 17, 12", pid, parent, err)
	}
	for _, bad := range []string{"", "17 nginx S 12", "x (a) S 1", "17 (a) S"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q passes for a stat", bad)
		}
	}
}

func TestDescendants(t *testing.T) {
	parents := map[int]int{1: 0, 10: 1, 11: 10, 12: 10, 13: 12, 20: 1}
	got := descendants(10, parents)
	if want := []int{10, 11, 12, 13}; len(got) != len(want) || got[0] != 10 || got[3] != 13 {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestOwnPss(t *testing.T) {
	const rollup = "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:      1644 kB\nPss:       381 kB\nPss_Dirty: 116 kB\nPss_File:  265 kB\n"
	if got, err := ownPss([]byte(rollup)); err != nil || got != (381-265)<<10 {
		t.Errorf("%d, %v, want %d", got, err, (381-265)<<10)
	}
	for _, missing := range []string{"Pss:", "Pss_File:"} {
		if _, err := ownPss([]byte(strings.Replace(rollup, missing, "Swap:", 1))); err == nil {
			t.Errorf("passes without %s", missing)
		}
	}
}
