package proxy_test

import (
	"os"
	"testing"

	"holdfast/internal/fixture"
	"holdfast/internal/leak"
)

// TestMain wants back whatever the tests took.
func TestMain(m *testing.M) {
	fixture.Together(4)
	os.Exit(leak.Check(m.Run))
}
