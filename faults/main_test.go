//go:build faults

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"holdfast/internal/blackbox"
	"holdfast/internal/leak"
)

// patience is how long a test waits for what must come. It is far beyond what
// anything here takes; a test that needs it has failed.
const patience = 40 * time.Second

var binary string // the path of the holdfast under test

func TestMain(m *testing.M) {
	if wanted := os.Getenv(peerVariable); wanted != "" {
		os.Exit(runPeer(wanted))
	}
	os.Exit(leak.Check(func() int { return run(m) }))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "faults: network namespaces need root")
		return 1
	}
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	dir, err := os.MkdirTemp("", "holdfast-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = blackbox.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "build holdfast:", err)
		return 1
	}
	return m.Run()
}

// start runs a program until the test ends.
func start(t *testing.T, name string, cmd *exec.Cmd) *blackbox.Process {
	t.Helper()
	return blackbox.Start(t, name, cmd, patience)
}
