package main

import (
	"strings"
	"testing"
)

func TestSplitList(t *testing.T) {
	known := []string{"a", "b"}
	if got, err := splitList("", known, "letter"); err != nil || len(got) != 2 {
		t.Errorf("empty list: %v, %v, want all", got, err)
	}
	if _, err := splitList("a,c", known, "letter"); err == nil || !strings.Contains(err.Error(), `no letter "c"`) {
		t.Errorf("unknown name: %v", err)
	}
}
