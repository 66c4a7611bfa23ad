package main

import (
	"testing"
)

func TestTracerReports(t *testing.T) {
	if got, err := parsePerf([]byte("338070,,raw_syscalls:sys_enter,202307929,100.00,,\n")); err != nil || got != 338070 {
		t.Errorf("perf: %d, %v", got, err)
	}
	if _, err := parsePerf([]byte("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n")); err == nil {
		t.Error("perf: no count passes")
	}
	const table = "% time     seconds  usecs/call     calls    errors syscall\n 50.09    0.057854          46      1232           read\n100.00    0.115509          46      2465        12 total\n"
	if got, err := parseStrace([]byte(table)); err != nil || got != 2465 {
		t.Errorf("strace: %d, %v", got, err)
	}
}
