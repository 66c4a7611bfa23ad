package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A meter reads the CPU time and the memory of one proxy's processes.
type meter struct {
	pids []int // none if there is no proxy
}

// newMeter returns a meter for root and its descendants. root is 0 if there is no proxy.
func newMeter(root int) (meter, error) {
	if root == 0 {
		return meter{}, nil
	}
	pids, err := family(root)
	return meter{pids}, err
}

// present reports whether there is a proxy to measure.
func (m meter) present() bool { return len(m.pids) > 0 }

// cpu returns the CPU time used so far, in user space and in the kernel, by all threads,
// ended ones included. It reads the CPU clock of each process, which counts nanoseconds:
// utime and stime of /proc count ticks of ten milliseconds.
func (m meter) cpu() (time.Duration, error) {
	var total time.Duration
	for _, pid := range m.pids {
		var t unix.Timespec
		if err := unix.ClockGettime(processClock(pid), &t); err != nil {
			return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
		}
		total += time.Duration(t.Nano())
	}
	return total, nil
}

// processClock returns the CPU clock of a process, as clock_getcpuclockid(3) does: the
// complement of its number, and in the low bits that the clock is of a process and counts
// what the scheduler counts.
func processClock(pid int) int32 {
	const scheduler = 2
	return ^int32(pid)<<3 | scheduler
}

// memory returns the proportional set size of all processes in bytes: a page that several
// of them share counts once. Pages of files do not count, because a process's share of a
// library depends on how many other programs use it.
func (m meter) memory() (uint64, error) {
	var total uint64
	for _, pid := range m.pids {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		pss, err := ownPss(rollup)
		if err != nil {
			return 0, fmt.Errorf("smaps_rollup of process %d: %w", pid, err)
		}
		total += pss
	}
	return total, nil
}
