//go:build faults && amd64

package inject

import (
	"fmt"
	"os"
	"testing"
	"time"

	"holdfast/internal/blackbox"
	"holdfast/internal/leak"
)

// patience is how long a test waits for what must come. It is far beyond what anything
// here takes; a test that needs it has failed.
const patience = 60 * time.Second

var binary string // the path of the holdfast under test

func TestMain(m *testing.M) {
	if wanted := os.Getenv(tracerVariable); wanted != "" {
		os.Exit(runTracer(wanted))
	}
	os.Exit(leak.Check(func() int { return run(m) }))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-inject-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = blackbox.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "build holdfast:", err)
		return 1
	}
	defer printTable()
	return m.Run()
}
