package demo

import (
	"context"
	"os"
	"testing"
	"time"

	"holdfast/internal/leak"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// TestMain wants back whatever the tests took.
func TestMain(m *testing.M) {
	os.Exit(leak.Check(m.Run))
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// quick are times for tests. Those that a busy machine must not exceed are
// long, those that only pass are short.
var quick = times{
	limit:    900 * time.Millisecond,
	interval: 100 * time.Millisecond,
	timeout:  800 * time.Millisecond,
	silence:  1200 * time.Millisecond,
	hope:     100 * time.Millisecond,
	patience: patience,
	grace:    patience,
}
