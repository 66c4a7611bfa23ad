package check

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write files that are made from others")

// dist has what `make release` makes, without its SBOM. It is built once for all tests.
var dist string

const version = "v1.2.3"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if folder := os.Getenv(insideVariable); folder != "" {
		if err := inside(folder, os.Getenv("DIST")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	flag.Parse()
	var err error
	if dist, err = os.MkdirTemp("", "holdfast-dist-"); err == nil {
		defer os.RemoveAll(dist)
		err = build("../../tools/release", filepath.Join(dist, "holdfast"), version)
	}
	if err == nil {
		err = build("../package/build", dist, version)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(args ...string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

func binary() string { return filepath.Join(dist, "holdfast") }

// file returns the contents of a file of deploy/.
func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ran returns what a program has printed. The test ends if it fails.
func ran(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}
