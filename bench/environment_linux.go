package main

import (
	"bufio"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// An environment describes the machine, on which the figures depend too.
type environment struct {
	Kernel      string `json:"kernel"`
	CPU         string `json:"cpu"`
	CPUs        int    `json:"cpus"`
	MemoryBytes uint64 `json:"memory_bytes"`
	LoadAverage string `json:"load_average_at_start"`
	OpenFiles   int    `json:"open_files_limit"`
	Go          string `json:"go"`
}

func goVersion() string { return runtime.Version() }

// hostEnvironment describes this machine. A field that cannot be read stays empty.
func hostEnvironment(openFiles int) environment {
	e := environment{CPU: cpuModel(), CPUs: runtime.NumCPU(), OpenFiles: openFiles, Go: goVersion()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		e.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	if info, err := os.Open("/proc/meminfo"); err == nil {
		defer info.Close()
		e.MemoryBytes, _ = parseKilobytes(info, "MemTotal")
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		e.LoadAverage = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return e
}

func cpuModel() string {
	info, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer info.Close()
	for lines := bufio.NewScanner(info); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
