package notify

import (
	"os"
	"testing"

	"holdfast/internal/leak"
)

// TestMain wants back whatever the tests took.
func TestMain(m *testing.M) {
	os.Exit(leak.Check(m.Run))
}
