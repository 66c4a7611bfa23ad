//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// patience is how long a test waits for what must come. It is far beyond what
// anything here takes; a test that needs it has failed.
const patience = 60 * time.Second

// direct is set where clients connect to the service itself.
var direct = os.Getenv("E2E_DIRECT") != ""

var (
	workDir string // goes away with the tests
	binary  string // the path of the holdfast under test
)

func TestMain(m *testing.M) {
	if address := os.Getenv(recorderVariable); address != "" {
		os.Exit(runRecorder(address))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	workDir = dir
	installed, err := filepath.Abs("bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("PATH", installed+string(os.PathListSeparator)+os.Getenv("PATH"))
	if binary, err = blackbox.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "build holdfast:", err)
		return 1
	}
	return m.Run()
}

// needsProxy skips a test of what only the proxy does.
func needsProxy(t *testing.T) {
	t.Helper()
	if direct {
		t.Skip("there is no proxy")
	}
}

// tool is the path of a program that the tests need.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; `make e2e` installs it", err)
	}
	return path
}

// start runs a program until the test ends.
func start(t *testing.T, name string, cmd *exec.Cmd) *blackbox.Process {
	t.Helper()
	return blackbox.Start(t, name, cmd, patience)
}
