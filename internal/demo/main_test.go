package demo

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// TestMain runs the tests and then wants every goroutine and every descriptor
// back that they took.
func TestMain(m *testing.M) {
	warmUp()
	before := held()
	code := m.Run()
	if code == 0 {
		code = wantsBack(before)
	}
	os.Exit(code)
}

// A holding is what a leak would add to.
type holding struct{ goroutines, descriptors int }

func held() holding {
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return holding{runtime.NumGoroutine(), len(descriptors)}
}

// warmUp makes the runtime take what it takes once and keeps: its own poller.
func warmUp() {
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		panic(err)
	}
	l.Close()
}

// wantsBack returns the exit code: 1 if more is held than before. What ends
// needs a moment, so it is asked until it is so or patience ends.
func wantsBack(before holding) int {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		now := held()
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return 0
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "leak: %+v are held after the tests, %+v before\n", now, before)
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			return 1
		}
	}
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
