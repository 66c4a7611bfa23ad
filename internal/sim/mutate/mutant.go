package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A mutant is a change of a few lines that breaks the proxy. Its file has three parts:
//
//	What is broken, in one line.
//	the/changed/file.go
//	 a line that stays
//	-a line that goes
//	+a line that comes
//
// White space at the ends of a line does not count. The lines that stay and go must occur
// in the file once, one after the other; the lines that come stand in their place. So a
// mutant still applies when its lines have moved.
type mutant struct {
	name   string
	breaks string
	file   string
	old    []string
	new    []string
}

// readMutants reads all mutants of a directory, in the order of their names.
func readMutants(dir string) ([]mutant, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(strings.TrimSuffix(filepath.Base(name), suffix), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, m)
	}
	return all, nil
}

const suffix = ".mutant"

var errIncomplete = errors.New("it needs a sentence, a file, and lines that go or come")

func parseMutant(name, text string) (mutant, error) {
	m := mutant{name: name}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) < 3 {
		return m, errIncomplete
	}
	m.breaks, m.file = lines[0], lines[1]
	changes := 0
	for _, line := range lines[2:] {
		if line == "" {
			line = " "
		}
		code := strings.TrimSpace(line[1:])
		switch line[0] {
		case ' ':
			m.old, m.new = append(m.old, code), append(m.new, code)
		case '-':
			m.old = append(m.old, code)
			changes++
		case '+':
			m.new = append(m.new, code)
			changes++
		default:
			return m, fmt.Errorf("the line %q begins with none of ' ', '-' and '+'", line)
		}
	}
	if changes == 0 || len(m.old) == 0 {
		return m, errIncomplete
	}
	return m, nil
}

// apply returns the text of the file with the change.
func (m *mutant) apply(text string) (string, error) {
	lines := strings.Split(text, "\n")
	found := -1
	for i := range lines {
		if !startsWith(lines[i:], m.old) {
			continue
		}
		if found >= 0 {
			return "", fmt.Errorf("%s: the lines of %s are there more than once", m.file, m.name)
		}
		found = i
	}
	if found < 0 {
		return "", fmt.Errorf("%s: the lines of %s are not there", m.file, m.name)
	}
	changed := append(append([]string{}, lines[:found]...), m.new...)
	return strings.Join(append(changed, lines[found+len(m.old):]...), "\n"), nil
}

// startsWith reports whether lines begins with the trimmed lines of want.
func startsWith(lines, want []string) bool {
	if len(lines) < len(want) {
		return false
	}
	for i, line := range want {
		if strings.TrimSpace(lines[i]) != line {
			return false
		}
	}
	return true
}
