package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A meter reads what the processes of one proxy have used.
type meter struct {
	pids []int // none if there is no proxy
}

// newMeter finds the processes under root; 0 means that there is none.
func newMeter(root int) (meter, error) {
	if root == 0 {
		return meter{}, nil
	}
	pids, err := family(root)
	return meter{pids}, err
}

// present says whether there is anything to measure.
func (m meter) present() bool { return len(m.pids) > 0 }

// cpu is the CPU time used so far, in user space and in the kernel, of all threads
// that live or have ended. The clock of a process counts in nanoseconds, where
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

// processClock is the clock that clock_getcpuclockid(3) names for a process: the
// complement of its number, and in the low bits "of a process, as the scheduler counts".
func processClock(pid int) int32 {
	const scheduler = 2
	return ^int32(pid)<<3 | scheduler
}

// memory is the proportional set size of all processes in bytes, in which pages
// shared by several count once. Pages of files are left out: how much of a library is
// this process's share depends on who else happens to use it.
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
