package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// family returns a process and all its descendants, because some proxies fork workers.
func family(root int) ([]int, error) {
	parents, err := parentsOf("/proc")
	if err != nil {
		return nil, err
	}
	if _, ok := parents[root]; !ok {
		return nil, fmt.Errorf("process %d is gone", root)
	}
	return descendants(root, parents), nil
}

// parentsOf maps every process to its parent.
func parentsOf(proc string) (map[int]int, error) {
	stats, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int, len(stats))
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		pid, parent, err := parseStat(string(stat))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		parents[pid] = parent
	}
	return parents, nil
}

// descendants lists root, its children, theirs, and so on.
func descendants(root int, parents map[int]int) []int {
	found := []int{root}
	for i := 0; i < len(found); i++ {
		for pid, parent := range parents {
			if parent == found[i] {
				found = append(found, pid)
			}
		}
	}
	slices.Sort(found)
	return found
}

// parseStat reads the process and its parent from a /proc/PID/stat. The command
// between them is in parentheses and may hold any character, parentheses included.
func parseStat(stat string) (pid, parent int, err error) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return 0, 0, errors.New("no command in parentheses")
	}
	pid, err = strconv.Atoi(strings.TrimSpace(stat[:open]))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 2 {
		return 0, 0, errors.New("no parent process")
	}
	parent, err = strconv.Atoi(fields[1])
	return pid, parent, err
}

// ownPss returns the proportional set size without the pages of files, in bytes.
func ownPss(rollup []byte) (uint64, error) {
	all, err := parseKilobytes(bytes.NewReader(rollup), "Pss")
	if err != nil {
		return 0, err
	}
	files, err := parseKilobytes(bytes.NewReader(rollup), "Pss_File")
	return all - files, err
}

// parseKilobytes returns the value of the line "Name:   123 kB" in bytes.
// /proc/PID/smaps_rollup and /proc/meminfo have such lines.
func parseKilobytes(r io.Reader, name string) (uint64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		if string(key) != name {
			continue
		}
		number, ok := bytes.CutSuffix(bytes.TrimSpace(value), []byte(" kB"))
		if !ok {
			return 0, fmt.Errorf("%s is not in kB: %q", name, value)
		}
		kilobytes, err := strconv.ParseUint(string(number), 10, 64)
		return kilobytes << 10, err
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("no line for %s", name))
}
