package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	syscallConns = 64
	syscallSize  = 64 // bytes
	attachTime   = 500 * time.Millisecond
)

var syscallScenario = scenario{
	name:  "syscalls",
	about: "the system calls of a fixed number of round trips, counted by perf or strace",
	once:  true,
	figures: func(params) []figure {
		return []figure{{
			Key:   "calls",
			Title: fmt.Sprintf("system calls per round trip, %s on %s", sizeName(syscallSize), connections(syscallConns)),
			Unit:  "calls",
		}}
	},
	run: runSyscalls,
}

func runSyscalls(c *client, p params) (map[string]float64, error) {
	if !c.meter.present() {
		return nil, nil
	}
	all, err := openEchoes(c, syscallConns, syscallSize)
	if err != nil {
		return nil, err
	}
	var failures error
	for _, t := range []tracer{perf, strace} {
		calls, err := t.count(c, func() error { return all.trips(c, p.TracedTrips) })
		if err == nil {
			return map[string]float64{"calls": float64(calls) / float64(p.TracedTrips)}, nil
		}
		failures = errors.Join(failures, err)
	}
	return nil, failures
}

// trips makes n round trips in a closed loop.
func (all *echoes) trips(c *client, n int) error {
	all.latencies = all.latencies[:0]
	if err := all.start(); err != nil {
		return err
	}
	err := c.runUntil(openLimit, func() bool { return len(all.latencies)+all.waiting >= n })
	return errors.Join(err, all.stop(c))
}

// A tracer is a program that counts other processes' system calls.
type tracer struct {
	arguments func(pids []int) []string
	parse     func(report []byte) (calls int, err error)
}

// perf counts without slowing the processes down, but needs permission.
var perf = tracer{
	arguments: func(pids []int) []string {
		list := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(pids)), ","), "[]")
		return []string{"perf", "stat", "-e", "raw_syscalls:sys_enter", "-x", ",", "-p", list}
	},
	parse: parsePerf,
}

// strace stops the processes at every call, which changes how many events they find ready
// at once. So its figures are not exact.
var strace = tracer{
	arguments: func(pids []int) []string {
		arguments := []string{"strace", "-c", "-f"}
		for _, pid := range pids {
			arguments = append(arguments, "-p", strconv.Itoa(pid))
		}
		return arguments
	},
	parse: parseStrace,
}

// count attaches the tracer while no message is under way, runs work, and detaches. So it
// counts the calls for work, and the few calls that an idle proxy makes.
func (t tracer) count(c *client, work func() error) (int, error) {
	arguments := t.arguments(c.meter.pids)
	command := exec.Command(arguments[0], arguments[1:]...)
	var report bytes.Buffer
	command.Stderr = &report
	if err := command.Start(); err != nil {
		return 0, err
	}
	err := c.runFor(attachTime)
	if err == nil {
		err = work()
	}
	// perf and strace print their reports when they are interrupted. They exit by the signal.
	err = errors.Join(err, command.Process.Signal(os.Interrupt))
	_ = command.Wait()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", arguments[0], err, report.Bytes())
	}
	return t.parse(report.Bytes())
}
