package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The whole of make mutants takes minutes. Here is only checked that each mutant applies.
func TestMutantsApply(t *testing.T) {
	all, err := readMutants("../mutants")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 40 {
		t.Errorf("there are %d mutants, want at least 40", len(all))
	}
	for _, m := range all {
		text, err := os.ReadFile(filepath.Join("../../..", m.file))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		changed, err := m.apply(string(text))
		if err != nil || changed == string(text) {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

func TestApply(t *testing.T) {
	m, err := parseMutant("one", "Something is wrong.\na.go\n if x {\n-y()\n+z()\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ text, want, err string }{
		{"a()\n\tif x {\n\t\ty()\n\t}\n", "a()\nif x {\nz()\n\t}\n", ""},
		{"if y {\n\ty()\n}\n", "", "not there"},
		{"if x {\ny()\n}\nif x {\ny()\n}\n", "", "more than once"},
	} {
		got, err := m.apply(test.text)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q becomes %q, %v", test.text, got, err)
		}
	}
	if _, err := parseMutant("two", "Nothing is wrong.\na.go\n if x {\n"); err == nil {
		t.Error("a mutant without a change was read")
	}
}
