package demo

import (
	"context"
	"os"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/leak"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// TestMain wants back whatever the tests took.
func TestMain(m *testing.M) {
	fixture.Together(8)
	os.Exit(leak.Check(m.Run))
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// quick are times for tests. Those that a busy machine must not exceed are
// long, those that only pass are short. A frozen client must get its Close, which comes
// timeout after the last ping, before the middlebox forgets it, limit after that ping:
// what lies between the two is what a busy machine may take.
var quick = times{
	limit:    1700 * time.Millisecond,
	interval: 100 * time.Millisecond,
	timeout:  700 * time.Millisecond,
	bound:    700 * time.Millisecond,
	silence:  2000 * time.Millisecond,
	hope:     100 * time.Millisecond,
	patience: patience,
	grace:    patience,
}

// talkative is quick for a story whose middlebox cuts nobody off, since nobody is silent for
// long. So it breaks promises.
func talkative() times {
	t := quick
	t.limit = time.Hour
	t.silence = 10 * quick.interval // one round trip at least
	return t
}
