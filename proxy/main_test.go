package proxy_test

import (
	"flag"
	"os"
	"testing"

	"holdfast/internal/leak"
)

// TestMain wants back whatever the tests took.
func TestMain(m *testing.M) {
	flag.Parse()
	if fuzzing() {
		os.Exit(m.Run())
	}
	os.Exit(leak.Check(m.Run))
}

// fuzzing reports whether this process fuzzes: its engine has goroutines and
// pipes of its own.
func fuzzing() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if v := flag.Lookup(name).Value.String(); v != "" && v != "false" {
			return true
		}
	}
	return false
}
