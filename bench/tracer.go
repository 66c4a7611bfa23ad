package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// parsePerf reads the count from a line of "perf stat -x ,".
func parsePerf(report []byte) (int, error) {
	for line := range bytes.Lines(report) {
		fields := strings.Split(string(line), ",")
		if len(fields) < 3 || fields[2] != "raw_syscalls:sys_enter" {
			continue
		}
		calls, err := strconv.Atoi(fields[0])
		if err != nil {
			return 0, fmt.Errorf("perf: %s", fields[0])
		}
		return calls, nil
	}
	return 0, fmt.Errorf("perf has no count: %s", report)
}

// parseStrace reads the total of the table of "strace -c": "100.00 1.23 4 5678 [errors] total".
func parseStrace(report []byte) (int, error) {
	for line := range bytes.Lines(report) {
		fields := strings.Fields(string(line))
		if len(fields) >= 5 && fields[len(fields)-1] == "total" {
			return strconv.Atoi(fields[3])
		}
	}
	return 0, fmt.Errorf("strace has no total: %s", report)
}
